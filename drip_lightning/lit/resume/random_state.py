"""The global random generators' state, in plain values that a checkpoint may hold.

The project's own draws are functions of (seed, sample number) and need none of it; dropout and other people's code do.
"""

import random
from typing import Any

import numpy as np
import torch


def collect_random_state() -> dict[str, Any]:
    """State of Python's, NumPy's and torch's generators, on this device and process."""
    _, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002 - the global one is meant
    return {
        "python": random.getstate(),
        "numpy": [torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Undo `collect_random_state`; a GPU that was not there before is left as it is."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    keys, *rest = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
