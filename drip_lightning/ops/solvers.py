"""PyMatting, imported so that its parallel kernels work in forked data workers, too: import it from here alone."""

import numba

# GNU's OpenMP, numba's first choice, ends a forked process.
numba.config.THREADING_LAYER = "workqueue"  # type: ignore[attr-defined]

import pymatting  # noqa: E402 - it starts the threads

__all__ = ["pymatting"]
