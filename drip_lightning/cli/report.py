"""`drip report DIR`: tables, curves and pictures of a sweep, from its folder alone."""

import argparse
from pathlib import Path

from drip_lightning.cli.parser import OneLineParser

_DESCRIPTION = """\
Make the report of a sweep again, from what is finished in its folder; nothing is trained or tested.

  DIR/report/table.md, table.csv, table.tex    mean ± deviation over seeds; difference to the first variant with its
                                               interval over seeds, and a paired test over pictures
  DIR/report/marginal_FACTOR.csv               of several factors, each value over the others' combinations
  DIR/report/curves.png                        loss and score against training steps
  DIR/report/FACTOR.png                        score against a factor that is a number, such as sampling steps
  DIR/report/pictures.png                      the same inputs, one column a variant
"""
_EXAMPLE = """\
example:
  drip report runs/sweep/parts-tiny
"""


def build_parser() -> argparse.ArgumentParser:
    """The options of `drip report`; imports nothing heavy."""
    parser = OneLineParser(
        prog="drip report",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder of a sweep")
    return parser


def main(arguments: list[str]) -> int:
    """Run `drip report`.

    Args:
        arguments: What follows `drip report` on the command line.

    Returns:
        0, the exit status.

    Raises:
        InputError: the folder is not a sweep's, or nothing in it is finished.
    """
    options = build_parser().parse_args(arguments)

    from drip_lightning.report.report import write_report

    print(write_report(options.folder))
    return 0
