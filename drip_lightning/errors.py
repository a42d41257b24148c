"""The one exception that the command line shows as a single line."""


class InputError(ValueError):
    """What the user gave cannot be used; the message is one line that says what was found and what to do.

    Raise it for a missing folder, a wrong file or an impossible setting. `drip` prints its message without a
    traceback and exits with status 1; any other exception is a defect and keeps its traceback.
    """
