"""Pictures twice as large by linear interpolation: on tensors, and row by row in kernels, in the same order of sums."""

import numba
import numpy as np
import torch
from torch import Tensor


def double_tensors(coarse: Tensor, height: int, width: int) -> Tensor:
    """Enlarge (…, ceil(height / 2), ceil(width / 2)) to (…, height, width), edges repeated."""
    for axis, size in ((-2, height), (-1, width)):
        fine = torch.arange(size, device=coarse.device)
        near = fine // 2
        far = (near + 2 * (fine % 2) - 1).clamp(0, coarse.shape[axis] - 1)
        coarse = coarse.index_select(axis, near) * 0.75 + coarse.index_select(axis, far) * 0.25
    return coarse


@numba.njit(cache=True, error_model="numpy", nogil=True)
def double_row(coarse: np.ndarray, i: int, line: np.ndarray, row: np.ndarray) -> None:
    """Row i of the picture twice as large, linearly interpolated; `line` is room for a coarse row."""
    near = i // 2
    far = min(max(near + 2 * (i % 2) - 1, 0), coarse.shape[0] - 1)
    last = coarse.shape[1] - 1
    for j in range(last + 1):
        line[j] = coarse[near, j] * np.float32(0.75) + coarse[far, j] * np.float32(0.25)
    row[0] = line[0] * np.float32(0.75) + line[0] * np.float32(0.25)
    for j in range(last):
        row[2 * j + 1] = line[j] * np.float32(0.75) + line[j + 1] * np.float32(0.25)
        row[2 * j + 2] = line[j + 1] * np.float32(0.75) + line[j] * np.float32(0.25)
    row[2 * last + 1] = line[last] * np.float32(0.75) + line[last] * np.float32(0.25)
