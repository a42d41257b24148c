"""The argument parser of the verbs that are not Lightning's own: a mistake costs one line, not a page of usage."""

import argparse
from typing import Any, NoReturn


class OneLineParser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` whose errors are one line that points at `--help`; exit status 2."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register("type", int, _whole_number)  # argparse calls a type by its function's name: "invalid int value"

    def error(self, message: str) -> NoReturn:
        """Print `message` on one line of standard error and exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (see `{self.prog} --help`)\n")


def whole_numbers(text: str) -> tuple[int, ...]:
    """An option's value such as `1,2,4`; to be given as its `type`."""
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"expected whole numbers with commas between them, such as 1,2,4, got {text!r}"
        ) from error


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}") from error
