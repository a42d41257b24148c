"""`drip data check SHARDS…`: are folders of shards what their index says?"""

import argparse
import sys

from drip_lightning.cli.parser import OneLineParser
from drip_lightning.errors import InputError

_DESCRIPTION = """\
Verify folders of shards against their index.json: sizes and SHA-256 of the shards, the number of samples, no key
twice, no shard that the index does not know; and decode every picture.

Every damage is a line. The exit status is 0 only if there is none.
"""
_EXAMPLE = """\
example:
  drip data check data/synth/foregrounds data/synth/backgrounds data/synth/evaluation
"""


def build_parser() -> argparse.ArgumentParser:
    """The options of `drip data check`; imports nothing heavy."""
    parser = OneLineParser(
        prog="drip data check",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", metavar="SHARDS", nargs="+", help="folder of shards with an index.json, or its URL")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="threads that decode (default: 2)")
    return parser


def main(arguments: list[str]) -> int:
    """Run `drip data check`.

    Args:
        arguments: What follows `drip data check` on the command line.

    Returns:
        0 if nothing is damaged, else 1.

    Raises:
        InputError: a folder has no index to check against.
    """
    options = build_parser().parse_args(arguments)
    if options.workers < 1:
        raise InputError(f"--workers: expected 1 or more, got {options.workers}")

    from drip_lightning.data.shards.index import read_index

    indices = [read_index(folder) for folder in options.folders]
    damages = [_check(index.folder, index.samples, workers=options.workers) for index in indices]
    return 1 if any(damages) else 0


def _check(folder: str, samples: int, *, workers: int) -> int:
    """Check a folder under a progress bar, print what was found, and return the number of damages."""
    from drip_lightning.cli.progress import progress_bar
    from drip_lightning.data.shards.check import check_folder

    with progress_bar() as progress:
        task = progress.add_task("checking", total=samples)
        found = check_folder(folder, workers=workers, advance=lambda dealt: progress.advance(task, dealt))
    for line in found.damage:
        print(f"drip data check: {line}", file=sys.stderr)
    size = sum(shard.bytes for shard in found.index.shards)
    verdict = f"{len(found.damage)} damages" if found.damage else "sound"
    shards = f"{len(found.index.shards)} shards, {size / 1e6:.1f} MB"
    print(f"{folder}: {found.sound} of {samples} samples sound ({shards}): {verdict}")
    return len(found.damage)
