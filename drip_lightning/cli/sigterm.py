"""SIGTERM for the verbs of Lightning that train nothing: it would go on to a picture's end, and leave with status 0."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from drip_lightning.errors import Stopped

_KEPT = {"test": "pictures that were measured are kept: the same command goes on"}
"""Of these verbs; of others nothing."""


@contextmanager
def ended_by_sigterm(verb: str) -> Iterator[None]:
    """Have SIGTERM end what goes on at once, as Ctrl-C does; Lightning calls a handler that is there beside its own.

    Args:
        verb: What goes on.

    Raises:
        Stopped: SIGTERM came.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(f"ended by SIGTERM; {_KEPT.get(verb, 'nothing of it is kept')}", signal_number=number)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
