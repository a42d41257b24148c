"""`drip synth OUT`: procedural matting data, the default that needs no download and no licence."""

import argparse
import time
from pathlib import Path

from drip_lightning.cli.parser import OneLineParser
from drip_lightning.errors import InputError

_DESCRIPTION = """\
Draw procedural matting data: the default that needs no download and no licence.

Three folders of WebDataset shards, each with an index.json, are written under OUT:

  foregrounds   KEY.rgba.webp  objects with an exact alpha and straight colour, defined where alpha is 0 too
  backgrounds   KEY.jpg        textures
  evaluation    KEY.image.png KEY.trimap.png KEY.alpha.png KEY.fg.png
                               held out: other objects and backgrounds, composited exactly

A sample depends on the seed, its folder and its number only: any number of workers gives the same bytes.
Interrupted, run it again: finished folders are kept, an unfinished one resumes after its finished shards.
"""
_EXAMPLE = """\
example:
  drip synth data/synth --foregrounds 500 --backgrounds 1000 --evaluation 50
"""


def build_parser() -> argparse.ArgumentParser:
    """The options of `drip synth`; imports nothing heavy."""
    parser = OneLineParser(
        prog="drip synth",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write into, made if missing")
    numbers = (
        ("foregrounds", 1000, "objects to draw; 0 for none"),
        ("backgrounds", 2000, "backgrounds to draw; 0 for none"),
        ("evaluation", 100, "held-out composites to draw; 0 for none"),
        ("size", 512, "side of the square pictures in pixels"),
        ("seed", 0, "another seed gives other pictures"),
        ("workers", 2, "processes that draw"),
        ("samples-per-shard", 250, "samples in every shard but a folder's last"),
    )
    for name, default, explanation in numbers:
        parser.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help=f"{explanation} (default: {default})"
        )
    parser.add_argument(
        "--mix",
        default="solid,motion,strands,foliage,net,pane,smoke,overlap",
        metavar="NAMES",
        help="kinds of objects, taken in turn, with commas between them; NAME:3 takes one three times as often "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--photographs",
        metavar="FOLDER",
        help="cut the backgrounds from your own pictures in FOLDER, one in ten of them kept for evaluation",
    )
    parser.add_argument(
        "--textures",
        metavar="FOLDER",
        help="cut every other object's surface from your own pictures in FOLDER, one in ten kept for evaluation",
    )
    parser.add_argument("--overwrite", action="store_true", help="make finished folders again")
    parser.add_argument(
        "--contact-sheet",
        type=Path,
        metavar="FILE",
        help="also save a picture with a row for each family, to look at (png or jpg)",
    )
    return parser


def _families(mix: str) -> tuple[str, ...]:
    """The turns of a mix such as `strands:2,net`, each kind spread out evenly: strands, net, strands."""
    turns: list[tuple[float, str]] = []
    for entry in mix.split(","):
        name, _, share = entry.strip().partition(":")
        if share and not (share.isdecimal() and 1 <= int(share) <= 100):
            raise InputError(f"mix: expected NAME or NAME:SHARE with a whole share from 1 to 100, got {entry!r}")
        count = int(share or 1)
        turns += [((turn + 0.5) / count, name) for turn in range(count)]
    return tuple(name for _, name in sorted(turns, key=lambda turn: turn[0]))


def main(arguments: list[str]) -> int:
    """Run `drip synth`.

    Args:
        arguments: What follows `drip synth` on the command line.

    Returns:
        0, the exit status.

    Raises:
        InputError: the arguments are impossible or contradict a finished folder.
    """
    options = build_parser().parse_args(arguments)

    from drip_lightning.cli.progress import progress_bar
    from drip_lightning.data.synth.contact_sheet import save_contact_sheet
    from drip_lightning.data.synth.folders import synthesise
    from drip_lightning.data.synth.samples import SPLITS, SynthSettings

    settings = SynthSettings(
        size=options.size,
        seed=options.seed,
        families=_families(options.mix),
        photographs=options.photographs,
        textures=options.textures,
    )
    if options.contact_sheet is not None:
        save_contact_sheet(options.contact_sheet, settings=settings)
        print(f"contact sheet: {options.contact_sheet}")
    began = time.perf_counter()
    with progress_bar() as progress:
        tasks = {split: progress.add_task(split, total=None, visible=False) for split in SPLITS}
        folders = synthesise(
            options.out,
            counts={split: getattr(options, split) for split in SPLITS},
            settings=settings,
            samples_per_shard=options.samples_per_shard,
            workers=options.workers,
            overwrite=options.overwrite,
            advance=lambda split, done, total: progress.update(tasks[split], completed=done, total=total, visible=True),
        )
    seconds = time.perf_counter() - began
    drawn = sum(folder.samples for folder in folders if not folder.reused)
    if drawn:
        print(f"drew {drawn} samples in {seconds:.1f} s ({drawn / seconds:.1f} a second)")
    for folder in folders:
        print(f"  {folder.samples:6d}  {folder.path}")
    if folders:
        print("next: train on them with `drip fit` (see README.md)")
    return 0
