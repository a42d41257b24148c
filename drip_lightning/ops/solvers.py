"""PyMatting, imported so that its parallel kernels work in forked data workers, too: import it from here alone."""

import contextlib
import io
import warnings
from collections.abc import Iterator

import numba

# GNU's OpenMP, numba's first choice, ends a forked process.
numba.config.THREADING_LAYER = "workqueue"  # type: ignore[attr-defined]

import pymatting  # noqa: E402 - it starts the threads

__all__ = ["pymatting", "silently"]


@contextlib.contextmanager
def silently() -> Iterator[None]:
    """Keep PyMatting from telling standard output, which is the user's, that a preconditioner took a second try."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
