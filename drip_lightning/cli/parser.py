"""The argument parser of the verbs that are not Lightning's own: a mistake costs one line, not a page of usage."""

import argparse
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` whose errors are one line that points at `--help`; exit status 2."""

    def error(self, message: str) -> NoReturn:
        """Print `message` on one line of standard error and exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (see `{self.prog} --help`)\n")
