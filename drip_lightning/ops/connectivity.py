"""The connectivity error of a matte, with the semantics of the MATLAB reference, in one pass over the pixels.

The reference cuts both mattes at each of ten thresholds and asks which pixels the largest piece that they share has
lost. Those pieces are the components of one image, the smaller of the two mattes, as its level falls: here a union-find
grows them once from the highest level down, instead of labelling ten images.
"""

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drip_lightning.ops.metrics import check_maps

_LEVELS = 10


def connectivity(preds: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Sum over the region of `|φ(preds) - φ(target)|`, where φ is how firmly a pixel hangs on the largest shared piece.

    For thresholds `t_k = k/10`, `k = 1…10`, `ω_k` is the largest 4-connected component of `min(preds, target) ≥ t_k`
    (of equal ones, the first in column-major order). A pixel's level is `l = t_{k-1}` at the first `k` whose `ω_k`
    misses it, else 1; `φ(α) = 1 - d·(d ≥ 0.15)` with `d = α - l`. Thresholds are single precision: 153/255 reaches 0.6.

    Runs on the CPU, wherever the tensors are; the first call of a process compiles for about a second.

    Args:
        preds: (B, 1, H, W) in [0, 1].
        target: (B, 1, H, W) in [0, 1].
        mask: (B, 1, H, W), bool: the region to measure. Components are those of the whole image.

    Returns:
        (B,) on the device of `preds`, in pixels; 0 for an empty region.

    Raises:
        ValueError: shapes differ, or `mask` is not boolean.
    """
    check_maps(preds, target, mask)
    images = zip(*(maps[:, 0].detach().cpu().numpy() for maps in (preds.float(), target.float(), mask)), strict=True)
    return torch.tensor([_connectivity(*image) for image in images], dtype=torch.float32, device=preds.device)


def _connectivity(preds: NDArray[np.float32], target: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """The error of one image; all maps are (H, W)."""
    shared = np.minimum(preds, target)
    levels = np.zeros(shared.shape, np.uint8)
    for level in range(1, _LEVELS + 1):
        levels += shared >= np.float32(level / _LEVELS)
    connected_alpha = np.divide(_connected_levels(levels), np.float32(_LEVELS), dtype=np.float32)
    lost = [_lost_alpha(maps, connected_alpha) for maps in (preds, target)]
    return float((np.abs(lost[0] - lost[1]) * mask).sum())


def _lost_alpha(maps: NDArray[np.float32], connected_alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much alpha hangs loose, `1 - φ`: what exceeds the pixel's level, if it is 0.15 or more."""
    distance = maps - connected_alpha
    distance *= distance >= np.float32(0.15)
    return distance


def _connected_levels(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """For each pixel the last `k` of 0…10 up to which it lies in every `ω_1 … ω_k`; `levels` is (H, W) in 0…10."""
    height, width = levels.shape
    padded = np.zeros((width + 2, height + 2), np.uint8)  # Columns first, so that positions rise in column-major order.
    padded[1:-1, 1:-1] = levels.T
    flat = padded.ravel()
    # NumPy asks for huge pages; arrays allocated in Numba would spend a third of the time on page faults.
    order, parent, size, joined_to = np.zeros((4, flat.size), np.int32)
    joined_at = np.zeros_like(flat)
    starts = _order_by_level(flat, order)
    largest = _grow_components(order, starts, height + 2, parent, size, joined_to, joined_at)
    depth = _depths(flat, largest, joined_to, joined_at, np.zeros_like(flat))
    return np.ascontiguousarray(depth.reshape(padded.shape)[1:-1, 1:-1].T)


@numba.njit
def _order_by_level(levels, order):  # type: ignore[no-untyped-def]
    """Write the positions above level 0 into `order`, rising within a level; level `k` starts at `starts[k]`."""
    starts = np.zeros(_LEVELS + 2, np.int64)
    for level in levels:
        starts[level + 1] += 1
    starts = np.cumsum(starts)
    following = starts.copy()
    for position in range(levels.size):
        level = levels[position]
        if level:
            order[following[level]] = position
            following[level] += 1
    return starts


@numba.njit
def _grow_components(order, starts, stride, parent, size, joined_to, joined_at):  # type: ignore[no-untyped-def]
    """Add the pixels from the highest level down, joining each to its 4 neighbours that are there already.

    A component's root is its lowest position, which is its first pixel in column-major order. `parent` is the forest
    with shortened paths, 0 where no pixel is yet (position 0 is padding). What a root was joined to, and at which
    level, is kept in `joined_to` and `joined_at`. Returns each level's largest component's root, 0 if there is none.
    """
    largest = np.zeros(_LEVELS + 2, np.int32)
    best, best_size = 0, 0
    for level in range(_LEVELS, 0, -1):
        for index in range(starts[level], starts[level + 1]):
            pixel = order[index]
            parent[pixel] = pixel
            root, root_size = pixel, 1
            for neighbour in (pixel - stride, pixel - 1, pixel + 1, pixel + stride):
                other = parent[neighbour]
                if other == 0 or other == root:
                    continue
                while parent[other] != other:
                    parent[other] = parent[parent[other]]
                    other = parent[other]
                if other == root:
                    continue
                root_size += size[other]
                root, absorbed = min(root, other), max(root, other)
                parent[absorbed] = root
                joined_to[absorbed] = root
                joined_at[absorbed] = level
            parent[pixel] = root
            size[root] = root_size
            if root_size > best_size or (root_size == best_size and root < best):
                best, best_size = root, root_size
        largest[level] = best
    return largest


@numba.njit
def _depths(levels, largest, joined_to, joined_at, depth):  # type: ignore[no-untyped-def]
    """Fill `depth`: up to the level where a pixel was joined it shares its root's fate, above that it was a root."""
    for pixel in range(levels.size):
        reached = min(depth[joined_to[pixel]], joined_at[pixel])
        if reached == joined_at[pixel]:
            while reached < levels[pixel] and largest[reached + 1] == pixel:
                reached += 1
        depth[pixel] = reached
    return depth
