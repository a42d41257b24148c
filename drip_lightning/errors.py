"""Every way in which `drip` ends early by its own decision: the command line shows each as a single line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum, unique


@unique
class ExitStatus(IntEnum):
    """What a process of `drip` ends with, where a signal did not end it (then 128 + its number, as a shell has it)."""

    SUCCESS = 0
    FAILED = 1
    WRONG_COMMAND_LINE = 2
    STUCK = 70
    """The watchdog ended it (EX_SOFTWARE): trying again is likely to get stuck again."""
    BUSY = 75
    """Somebody else does this work just now (EX_TEMPFAIL): nothing is wrong, ask again later."""


class DripError(Exception):
    """Base of what `drip` tells in one line, without a traceback; any other exception is a defect and keeps its own."""


class InputError(DripError, ValueError):
    """What the user gave cannot be used; the message is one line that says what was found and what to do.

    Raise it for a missing folder, a wrong file or an impossible setting.
    """


class RunError(DripError, RuntimeError):
    """What was asked for is possible, but failed on the way; the message is one line that says what to do.

    Raise it for a full disk, a dead network, a dead rank, or numbers that are no longer finite.
    """


class Stopped(DripError):
    """A signal asked the run to stop, and it did so between two steps, everything saved; the message says where.

    `drip` exits with 128 + the signal's number: 130 for Ctrl-C, 143 for SIGTERM, 138 for SIGUSR1.
    """

    def __init__(self, message: str, *, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


@contextmanager
def raised_as(
    kind: type[InputError] | type[RunError], *libraries: type[Exception], message: Callable[[str], str]
) -> Iterator[None]:
    """Raise what a library raises as one of the project's own errors; what is one already passes unchanged.

    Args:
        kind: What to raise.
        libraries: Exceptions of the libraries that are called inside.
        message: Makes the line from the library's reason.
    """
    try:
        yield
    except DripError:
        raise
    except libraries as error:
        raise kind(message(reason_of(error))) from error


def reason_of(error: BaseException) -> str:
    """What a library's exception says, as one line: the system's words, the first line, or else its name."""
    system_words = error.strerror if isinstance(error, OSError) else None
    lines = str(error).strip().splitlines()
    return system_words or (lines[0] if lines else type(error).__name__)
