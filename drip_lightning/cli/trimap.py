"""`drip trimap`: trimaps of masks and mattes, and what is doubtful about a trimap."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from drip_lightning.cli.parser import OneLineParser
from drip_lightning.data.picture_files import SUFFIXES, find_pictures
from drip_lightning.errors import InputError, RunError, raised_as

_DESCRIPTION = """\
Write the trimaps that `drip matte` and training use, or say what is doubtful about trimaps.

Of a MASK, as `drip matte --mask` does: unknown within --band pixels of its outline. Of an ALPHA, as training does:
unknown is what is partly transparent, --dilate pixels outwards from all that is not surely background, and --erode
pixels inwards. Both may be ranges (1-25), drawn for each file in the order of their names, by --seed.

--check says of each TRIMAP how much is unknown, foreground and background, and what is doubtful: grey values, no band
between foreground and background, most of it unknown; beside an --alpha a band thinner than the soft edge, and
contradictions. The exit status is 1 if something is.
"""
_EXAMPLE = """\
examples:
  drip trimap masks/ --band 20 --out trimaps
  drip trimap alpha/ --dilate 1-25 --erode 1-25 --seed 3 --out trimaps
  drip trimap --check trimaps/ --alpha alpha/
"""


def build_parser() -> argparse.ArgumentParser:
    """The options of `drip trimap`; imports nothing heavy."""
    parser = OneLineParser(
        prog="drip trimap",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="mask, alpha or trimap, or folder of them")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where trimaps go, as NAME.png; made if missing")
    parser.add_argument("--band", type=int, metavar="N", help="of a mask: half the unknown band (default: 15)")
    parser.add_argument("--dilate", type=_radii, metavar="N", help="of an alpha: radius or range, outwards")
    parser.add_argument("--erode", type=_radii, metavar="N", help="of an alpha: radius or range, inwards")
    parser.add_argument(
        "--disc", action="store_true", help="round, not square neighbourhoods, with --dilate and --erode"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="decides what ranges draw (default: 0)")
    parser.add_argument("--overwrite", action="store_true", help="make trimaps that exist again")
    parser.add_argument("--check", action="store_true", help="the FILEs are trimaps: say what is doubtful about them")
    parser.add_argument("--alpha", metavar="A", type=Path, help="with --check: the true matte, or a folder of them")
    return parser


def main(arguments: list[str]) -> int:
    """Run `drip trimap`.

    Args:
        arguments: What follows `drip trimap` on the command line.

    Returns:
        0 if every trimap was written, or none is doubtful, else 1.

    Raises:
        InputError: there is nothing to do, or options contradict each other.
    """
    options = build_parser().parse_args(arguments)
    is_of_alpha = options.dilate is not None or options.erode is not None
    making = {"--out": options.out, "--band": options.band, "--dilate": options.dilate, "--erode": options.erode}
    if options.check and any(value is not None for value in making.values()):
        raise InputError(f"--check writes nothing: leave out {', '.join(making)}")
    if not options.check and options.out is None:
        raise InputError("give --out, where trimaps are to go, or --check, to look at trimaps")
    if options.out is not None and options.out.suffix.lower() in SUFFIXES and not options.out.is_dir():
        raise InputError(f"--out {options.out}: name a folder, where each trimap goes as NAME.png")
    if options.alpha and not options.check:
        raise InputError("--alpha belongs to --check: give alphas as FILEs to make trimaps of them")
    if is_of_alpha and options.band is not None:
        raise InputError("--band is for masks, --dilate and --erode are for alphas: give one or the other")
    if options.disc and not is_of_alpha:
        raise InputError("--disc belongs to --dilate and --erode")
    if options.seed < 0 or (options.band or 0) < 0:
        raise InputError("--band and --seed must not be negative")
    files = _listed(options.files)
    return _check_all(files, options.alpha) if options.check else _make_all(files, options)


def _radii(text: str) -> tuple[int, int]:
    """A radius, or the least and greatest of a range."""
    low, _, high = text.partition("-")
    try:
        radii = int(low), int(high or low)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a radius or range such as 10 or 1-25, got {text!r}") from error
    if radii[0] > radii[1]:
        raise argparse.ArgumentTypeError(f"expected the smaller radius first, got {text!r}")
    return radii


def _listed(paths: Sequence[Path]) -> dict[str, Path]:
    """Files by their name below the folder that was given, without suffix."""
    found: dict[str, Path] = {}
    for path in paths:
        below = find_pictures(path).files if path.is_dir() else {path.stem: (path,)}
        for name, files in below.items():
            for file in files:
                if name in found:
                    raise InputError(f"{found[name]} and {file} are both named {name}: keep one")
                found[name] = file
    if not found:
        raise InputError(f"no pictures in {', '.join(map(str, paths))}")
    return found


def _make_all(files: dict[str, Path], options: argparse.Namespace) -> int:
    failed = 0
    for number, (name, file) in enumerate(files.items()):
        target = options.out / f"{name}.png"
        try:
            if os.path.realpath(target) == os.path.realpath(file):
                raise InputError(f"{target} would replace what was given: choose another --out")
            if options.overwrite or not target.exists():
                _make(file, target, number, options)
        except InputError as error:
            failed += 1
            print(f"drip trimap: {error}", file=sys.stderr)
        else:
            print(target)
    return 1 if failed else 0


def _make(file: Path, target: Path, number: int, options: argparse.Namespace) -> None:
    import torch

    from drip_lightning.data.augment import draw_radii
    from drip_lightning.data.matte_inputs import read_map
    from drip_lightning.files import whole_file
    from drip_lightning.ops.picture import as_picture
    from drip_lightning.ops.trimap import trimap_from_alpha, trimap_from_mask

    alpha = torch.from_numpy(read_map(file)[0].copy())[None, None]
    if options.dilate is None and options.erode is None:
        trimap = trimap_from_mask(alpha / 255, 15 if options.band is None else options.band)
    else:
        dilation, erosion = draw_radii(options.dilate or (0, 0), options.erode or (0, 0), options.seed, number)
        trimap = trimap_from_alpha(
            alpha / 255, [dilation], [erosion], structuring_element="disc" if options.disc else "square"
        )
    with raised_as(RunError, OSError, message=lambda why: f"cannot write {target} ({why}): choose another --out"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as partial:
            as_picture(trimap[0]).save(partial)


def _check_all(files: dict[str, Path], alpha: Path | None) -> int:
    from drip_lightning.data.matte_inputs import read_map
    from drip_lightning.ops.trimap_check import check_trimap

    alphas = {} if alpha is None else _listed([alpha])
    doubtful = False
    for name, file in files.items():
        try:
            own = alpha if alpha is not None and alpha.is_file() else alphas.get(name)
            if alpha is not None and own is None:
                raise InputError(f"no alpha named {name} in {alpha} for {file}")
            trimap = read_map(file)[0]
            true = None if own is None else read_map(own)[0]
            if true is not None and true.shape != trimap.shape:
                (height, width), (true_height, true_width) = trimap.shape, true.shape
                raise InputError(f"{file} is {width}×{height} but {own} is {true_width}×{true_height}: make them equal")
            found = check_trimap(trimap, true)
        except InputError as error:
            doubtful = True
            print(f"drip trimap: {error}", file=sys.stderr)
            continue
        shares = f"{found.unknown:.1%} unknown, {found.foreground:.1%} foreground, {found.background:.1%} background"
        print(f"{file}: {shares}")
        for doubt in found.doubts:
            doubtful = True
            print(f"{file}: doubtful: {doubt}")
    return 1 if doubtful else 0
