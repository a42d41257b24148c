"""The exceptions that the command line shows as a single line."""


class InputError(ValueError):
    """What the user gave cannot be used; the message is one line that says what was found and what to do.

    Raise it for a missing folder, a wrong file or an impossible setting. `drip` prints its message without a
    traceback and exits with status 1; any other exception is a defect and keeps its traceback.
    """


class Stopped(Exception):
    """A signal asked the run to stop, and it did so between two steps, everything saved; the message says where.

    `drip` prints its message and exits with 128 + the signal's number, as a shell has it: 130 for Ctrl-C, 143 for
    SIGTERM, 138 for SIGUSR1.
    """

    def __init__(self, message: str, *, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number
