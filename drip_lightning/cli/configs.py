"""`drip configs`: copy the shipped configurations, to read and to change."""

import argparse
from pathlib import Path

from drip_lightning.cli.parser import OneLineParser
from drip_lightning.shipped import copy_configs

_DESCRIPTION = """\
Copy the configurations that come with the package into a folder.

They need no copying to be used: where there is no such file, --config denoiser.yaml and --config scale/tiny.yaml
name the shipped ones.
"""


def build_parser() -> argparse.ArgumentParser:
    """The options of `drip configs`."""
    parser = OneLineParser(
        prog="drip configs", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="where to; files that are there are left alone")
    return parser


def main(arguments: list[str]) -> int:
    """Run `drip configs`.

    Args:
        arguments: What follows `drip configs` on the command line.

    Returns:
        0, the exit status.

    Raises:
        InputError: a file of one of their names is there already, or the folder cannot be written.
    """
    folder = build_parser().parse_args(arguments).folder
    print(f"copied {len(copy_configs(folder))} configurations to {folder}")
    return 0
