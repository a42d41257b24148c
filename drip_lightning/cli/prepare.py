"""`drip prepare KIND SOURCE… OUT`: the user's pictures, or a published set, into shards."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drip_lightning.cli.parser import OneLineParser
from drip_lightning.errors import InputError

if TYPE_CHECKING:
    from drip_lightning.data.convert.conversion import Conversion

_DESCRIPTION = """\
Make a folder of WebDataset shards with an index.json of pictures that you have.

to train on
  rgba                  foregrounds: any folders of RGBA pictures, or of fg/ and alpha/
  images                backgrounds: any folders of pictures
  composition1k         the 431 foregrounds of the Adobe Deep Image Matting Dataset
  distinctions646       the 596 foregrounds of Distinctions-646

to evaluate on
  triplets              image/, trimap/, alpha/, and fg/ if the foreground is known
  composites            your own foregrounds over your own backgrounds
  composition1k-test    50 foregrounds over 20 pictures of PASCAL VOC each, as the set's own script does it
  distinctions646-test  the same for Distinctions-646
  aim500                original/, mask/, trimap/
  alphamatting          input_training_lowres/, trimap_training_lowres/, gt_training_lowres/

Every kind explains itself: drip prepare KIND --help.

Each file is checked; what cannot be used is refused and reported, and the rest is converted. Interrupted, give the same
command again: it resumes, and ends with the same bytes.
"""
_EXAMPLE = """\
examples:
  drip prepare rgba photos/cutouts data/own/foregrounds
  drip prepare images photos/places data/own/backgrounds
"""
_FOREGROUNDS = """\
One picture, one sample KEY.rgba.webp: straight colour and alpha, without loss. SOURCE is
  a folder, with folders in it or not, of pictures with transparency (PNG, WebP, TIFF); or
  a folder that holds fg/ (the object's own colours) and alpha/, with equally named pictures; or
  a folder that holds image/ (photographs) and alpha/: with --estimate-foreground.

Refused: no alpha, opaque or transparent everywhere, unequal sizes, no partner, a picture that was there before.
Warned of: binary mattes, which training would learn; colours that fade to black or white with alpha, as premultiplied
ones do (--premultiplied), and those cut out over white (--estimate-foreground).
"""
_IMAGES = """\
One picture, one sample KEY.jpg: a JPEG stays as it is, others become one of quality 95. Folders may hold folders.

Refused: transparent pictures, and pictures that were there before.
"""
_COMPOSITION = """\
SOURCE is the unpacked data set; it is asked for at https://sites.google.com/view/deepimagematting, and looks like this:
  Combined_Dataset/Training_set/Adobe-licensed images/{fg,alpha}/
  Combined_Dataset/Training_set/Other/{fg,alpha}/
"""
_DISTINCTIONS = """\
SOURCE is the unpacked data set: Train/FG/ and Train/GT/, with equally named pictures.
"""
_COMPOSITION_TEST = """\
1000 samples KEY.image.png, KEY.trimap.png, KEY.alpha.png, KEY.fg.png, composited as the set's own script does:
background scaled up (bicubic, rounded up) only if it is too small, cropped at its top left, the sum truncated.

SOURCE is the unpacked Adobe Deep Image Matting Dataset, with
  Combined_Dataset/Test_set/Adobe-licensed images/{fg,alpha,trimaps}/
  Combined_Dataset/Test_set/test_fg_names.txt, test_bg_names.txt
and VOC is PASCAL VOC 2012, or its folder JPEGImages/.
"""
_DISTINCTIONS_TEST = """\
1000 samples, composited as composition1k-test does. The set ships no trimaps, so figures depend on --trimap-radius.

SOURCE is the unpacked data set, with Test/FG/, Test/GT/, Test/bg_test.txt (and Test/fg_test.txt for the order, else by
name); VOC is PASCAL VOC 2012, or its folder JPEGImages/.
"""
_TRIPLETS = """\
One picture, one sample KEY.image.png, KEY.trimap.png, KEY.alpha.png (and KEY.fg.png), without loss. SOURCE holds
image/, trimap/, alpha/ and perhaps fg/, with equally named pictures, whatever their suffix. In a trimap 0 is
background, 255 is foreground, anything between is unknown.
"""
_COMPOSITES = """\
One foreground, one sample KEY.image.png, KEY.trimap.png, KEY.alpha.png, KEY.fg.png: hold some foregrounds out of your
training, and some backgrounds, and see what the training is worth. SOURCE is what `drip prepare rgba` takes;
backgrounds are any pictures, taken in turn, scaled up if they are too small, and cropped at their top left.
"""
_AIM500 = """\
SOURCE is the unpacked AIM-500 (https://github.com/JizhiziLi/AIM): original/, mask/ and trimap/.
"""
_ALPHAMATTING = """\
SOURCE is a folder with the unpacked archives of https://www.alphamatting.com: input_training_lowres/,
trimap_training_lowres/Trimap1/ and gt_training_lowres/ (or highres).
"""


def build_parser() -> argparse.ArgumentParser:
    """The kinds and options of `drip prepare`; imports nothing heavy."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = OneLineParser(prog="drip prepare", description=_DESCRIPTION, epilog=_EXAMPLE, formatter_class=raw)
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True, prog="drip prepare")
    for name, text in (("rgba", _FOREGROUNDS), ("composition1k", _COMPOSITION), ("distinctions646", _DISTINCTIONS)):
        kind = _add_kind(kinds, name, text, several=name == "rgba")
        kind.add_argument("--codec", choices=("webp", "png"), default="webp", help=_CODEC)
        kind.add_argument(
            "--hidden-colours",
            action="store_true",
            help="keep the colours where alpha is 0, for data.foreground_padding hidden_blur (DRIP Alg. 2)",
        )
        if name == "rgba":
            colours = kind.add_mutually_exclusive_group()
            colours.add_argument(
                "--estimate-foreground",
                action="store_true",
                help="the colours are composites: estimate the objects' own",
            )
            colours.add_argument(
                "--premultiplied", action="store_true", help="the colours are multiplied by alpha: divide by it"
            )
            _add_choice(kind)
    _add_choice(_add_kind(kinds, "images", _IMAGES, several=True))
    for name, text, backgrounds, radius in (
        ("triplets", _TRIPLETS, "", None),
        ("composites", _COMPOSITES, "BACKGROUNDS", 10),
        ("composition1k-test", _COMPOSITION_TEST, "VOC", None),
        ("distinctions646-test", _DISTINCTIONS_TEST, "VOC", None),
    ):
        kind = _add_kind(kinds, name, text, backgrounds=backgrounds)
        explanation = f"{_TRIMAP_RADIUS} (default: {radius or 'the source has trimaps'})"
        kind.add_argument("--trimap-radius", type=int, default=radius, metavar="N", help=explanation)
        if name == "composites":
            kind.add_argument("--each", type=int, default=1, metavar="N", help="backgrounds for each (default: 1)")
            kind.add_argument("--side", type=int, metavar="N", help="resize the foregrounds to this longest side")
            _add_choice(kind)
            kind.add_argument("--background-kinds", metavar="NAMES", default="", help="the same of the backgrounds")
    _add_kind(kinds, "aim500", _AIM500)
    kind = _add_kind(kinds, "alphamatting", _ALPHAMATTING)
    kind.add_argument("--resolution", choices=("lowres", "highres"), default="lowres", help="(default: lowres)")
    kind.add_argument("--trimap-set", type=int, choices=(1, 2), default=1, help="Trimap1 or Trimap2 (default: 1)")
    return parser


_CODEC = "what the shards hold, both without loss; WebP is mostly smaller, and a little faster (default: webp)"
_SAMPLES_PER_SHARD = "at most; a shard ends at 134 MB, too (default: 250)"
_ESTIMATE = "the colours are those of photographs: estimate the objects' own"
_TRIMAP_RADIUS = "make the trimaps from alpha: unknown within N pixels of its partial values"


def _add_kind(
    kinds: Any, name: str, text: str, *, several: bool = False, backgrounds: str = ""
) -> argparse.ArgumentParser:
    kind: argparse.ArgumentParser = kinds.add_parser(
        name, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if several:
        kind.add_argument("sources", metavar="SOURCE", nargs="+", type=Path, help="folder of pictures")
    else:
        kind.add_argument("source", metavar="SOURCE", type=Path, help="folder of the data set")
    if backgrounds:
        kind.add_argument("backgrounds", metavar=backgrounds, type=Path, help="folder of backgrounds")
    kind.add_argument("out", metavar="OUT", type=Path, help="folder of shards, made if missing")
    kind.add_argument("--licence", metavar="TEXT", default="", help="what may be done with the pictures, for the index")
    kind.add_argument("--workers", type=int, default=2, metavar="N", help="processes that read and write (default: 2)")
    kind.add_argument(
        "--samples-per-shard",
        type=int,
        default=250,
        metavar="N",
        help="at most; a shard ends at 134 MB, too (default: 250)",
    )
    return kind


def _add_choice(kind: argparse.ArgumentParser) -> None:
    kind.add_argument(
        "--list",
        type=Path,
        metavar="CSV",
        help="take only what is in this file: a column `file`, relative to its folder, and any of kind, source, "
        "licence, attribution, which go into every sample's JSON and, counted, into the index",
    )
    kind.add_argument("--kinds", metavar="NAMES", default="", help="only these kinds, with commas between them")
    kind.add_argument(
        "--split", choices=("all", "train", "held-out"), default="all", help="held-out: one in N, by the name's hash"
    )
    kind.add_argument("--hold-out", type=int, default=10, metavar="N", help="that N (default: 10)")
    kind.add_argument("--per-kind", type=int, metavar="N", help="at most so many of each kind")


def _choices(options: dict[str, Any]) -> dict[str, Any]:
    """Replace the options of `_add_choice` by what they choose."""
    from drip_lightning.data.convert.catalogue import Choice

    if "split" not in options:
        return options
    options = dict(options)
    names = ("list", "split", "hold_out", "per_kind")
    catalogue, split, hold_out, per_kind = (options.pop(name) for name in names)
    common = {"catalogue": catalogue, "split": split, "hold_out": hold_out}
    kinds = tuple(filter(None, options.pop("kinds").split(",")))
    options["choice"] = Choice(kinds=kinds, per_kind=per_kind, **common)
    if "background_kinds" in options:
        behind = tuple(filter(None, options.pop("background_kinds").split(",")))
        options["background_choice"] = Choice(kinds=behind, **common)
    return options


def main(arguments: list[str]) -> int:
    """Run `drip prepare`.

    Args:
        arguments: What follows `drip prepare` on the command line.

    Returns:
        0; or 1 for a test set that is not what was published.

    Raises:
        InputError: nothing can be made of SOURCE, or OUT cannot be used.
    """
    options = vars(build_parser().parse_args(arguments))
    name, out, licence = (options.pop(option) for option in ("kind", "out", "licence"))
    running = {option: options.pop(option) for option in ("workers", "samples_per_shard")}
    sources = options.pop("sources", None) or [options.pop("source")]
    if "backgrounds" in options:
        sources.append(options.pop("backgrounds"))
    if (options.get("trimap_radius") or 0) < 0 or options.get("each", 1) < 1:
        raise InputError("--trimap-radius must not be negative, --each at least 1")
    if any((options.get(option) or 1) < 1 for option in ("side", "per_kind")):
        raise InputError("--side and --per-kind must be at least 1")
    options = _choices(options)

    from drip_lightning.cli.progress import progress_bar
    from drip_lightning.data.convert.conversion import convert
    from drip_lightning.data.convert.kinds import KINDS

    with progress_bar() as progress:
        task = progress.add_task(f"preparing {name}", total=None)
        done = convert(
            KINDS[name](sources=tuple(sources), **options),
            out,
            licence=licence,
            advance=lambda done, total: progress.update(task, completed=done, total=total),
            **running,
        )
    return _tell(done, KINDS[name].noun, KINDS[name].expected, is_test_set=KINDS[name].is_test_set)


def _tell(done: "Conversion", noun: str, expected: int | None, *, is_test_set: bool) -> int:
    report, index = done.report, done.index
    for line in report.lines():
        print(line)
    size = sum(shard.bytes for shard in index.shards)
    verb = "reusing" if done.reused else "wrote"
    shards = f"{len(index.shards)} shard{'s' * (len(index.shards) > 1)}, {size / 1e6:.1f} MB"
    print(f"{verb} {report.written} of {report.listed} {noun} in {index.folder} ({shards}); index.json has the report")
    incomplete = expected is not None and report.written != expected
    if incomplete:
        print(f"drip prepare: the published set has {expected}, this one {report.written}", file=sys.stderr)
    return 1 if is_test_set and (incomplete or report.refused) else 0
