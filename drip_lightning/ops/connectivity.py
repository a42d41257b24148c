"""The connectivity error of a matte, with the semantics of the MATLAB reference, in one pass over the pixels.

The reference cuts both mattes at each of ten thresholds and asks which pixels the largest piece that they share has
lost. Those pieces are the components of one image, the smaller of the two mattes, as the threshold falls: here a
union-find over runs of pixels that survive equally many cuts grows them once, from the last cut down, instead of
labelling ten images.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from drip_lightning.ops.metrics import check_maps

_THRESHOLDS = np.arange(1, 11, dtype=np.float32) / np.float32(10)
_CUTS = len(_THRESHOLDS)
_ONE = np.uint32(1)
_NOBODY = np.uint32(0xFFFFFFFF)
"""Sentinel for "no run". Indices are uint32: with signed ones Numba emits a wraparound check per access, half of the
run time."""


def connectivity(preds: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Sum over the region of `|φ(preds) - φ(target)|`, where φ is how firmly a pixel hangs on the largest shared piece.

    For thresholds `t_k = k/10`, `k = 1…10`, `ω_k` is the largest 4-connected component of `min(preds, target) ≥ t_k`
    (of equal ones, the first in column-major order). A pixel is connected up to `l = t_{k-1}`, at the first `k`
    whose `ω_k` misses it, else 1; `φ(α) = 1 - d·(d ≥ 0.15)` with `d = α - l`. Thresholds are single precision: 153/255
    reaches 0.6.

    Runs on the CPU, wherever the tensors are; the first call on a machine compiles for some seconds.

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
    batches = (maps[:, 0].detach().cpu().contiguous().numpy() for maps in (preds.float(), target.float(), mask))
    errors = [_connectivity(*image) for image in zip(*batches, strict=True)]
    return torch.tensor(errors, dtype=torch.float32, device=preds.device)


def _connectivity(preds: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    """The error of one image; all maps are (H, W)."""
    cuts = np.zeros(preds.shape, np.uint8)
    _cut(preds, target, _THRESHOLDS, cuts)
    starts, cut_of, rows = _runs(cuts)
    height, width = map(np.uint32, preds.shape)
    above, below = _neighbours(starts, rows, width)
    largest, joins = _grow_components(starts, cut_of, above, below, height, width)
    depths = _depths(cut_of, largest, joins)
    return _error(preds.ravel(), target.ravel(), mask.ravel(), starts, depths)


@numba.njit(cache=True)
def _cut(preds, target, thresholds, cuts):  # type: ignore[no-untyped-def]
    """Fill `cuts` (H, W), the last cut that a pixel survives: how many of the thresholds both mattes reach."""
    for row in range(cuts.shape[0]):
        for threshold in thresholds:
            for column in range(cuts.shape[1]):
                cuts[row, column] += min(preds[row, column], target[row, column]) >= threshold


@numba.njit(cache=True)
def _runs(cuts):  # type: ignore[no-untyped-def]
    """Part rows into runs of one cut: flat start of each and the image's end, its cut; each row's first run."""
    height, width = cuts.shape
    starts = np.empty(cuts.size + 1, np.uint32)
    cut_of = np.empty(cuts.size, np.uint8)
    rows = np.empty(height + 1, np.uint32)
    count = np.uint32(0)
    for row in range(height):
        rows[row] = count
        before = _CUTS + 1
        for column in range(width):
            cut = cuts[row, column]
            if cut != before:
                starts[count] = row * width + column
                cut_of[count] = cut
                before = cut
                count += _ONE
    rows[height] = count
    starts[count] = cuts.size
    return starts[: count + _ONE], cut_of[:count], rows


@numba.njit(cache=True)
def _neighbours(starts, rows, width):  # type: ignore[no-untyped-def]
    """For each run, the runs over and under its first pixel: where those begin that touch it in the rows beside."""
    above, below = np.zeros((2, starts.size - 1), np.uint32)
    for row in range(1, rows.size - 1):
        over, under = rows[row - 1], rows[row]
        for run in range(rows[row], rows[row + 1]):
            while starts[over + _ONE] + width <= starts[run]:
                over += _ONE
            above[run] = over
        for run in range(rows[row - 1], rows[row]):
            while starts[under + _ONE] <= starts[run] + width:
                under += _ONE
            below[run] = under
    return above, below


@numba.njit(cache=True)
def _order_by_cut(cut_of):  # type: ignore[no-untyped-def]
    """The runs by their last cut, rising; those of cut `k` begin at place `first[k]`."""
    first = np.zeros(_CUTS + 2, np.uint32)
    for cut in cut_of:
        first[cut + 1] += _ONE
    first = np.cumsum(first)
    following = first.copy()
    order = np.empty(cut_of.size, np.uint32)
    for run in range(cut_of.size):
        order[following[cut_of[run]]] = run
        following[cut_of[run]] += _ONE
    return order, first


@numba.njit(cache=True)
def _grow_components(starts, cut_of, above, below, height, width):  # type: ignore[no-untyped-def]
    """Add the runs from the last cut down, joining each to those that touch it and are there already.

    The first of a component's pixels in column-major order decides between components of equal size. Returns each
    cut's largest component's root, and the roots that were joined: what, to what, at which cut.
    """
    order, first = _order_by_cut(cut_of)
    parent = np.full(cut_of.size, _NOBODY)
    size, corner = np.zeros((2, cut_of.size), np.uint32)
    joins = np.empty((cut_of.size, 3), np.uint32)
    count = np.uint32(0)
    largest = np.full(_CUTS + 2, _NOBODY)
    best, best_size, best_corner = _NOBODY, np.uint32(0), np.uint32(0)
    for cut in range(_CUTS, 0, -1):
        for run in order[first[cut] : first[cut + 1]]:
            start, end = starts[run], starts[run + _ONE]
            row = start // width
            column = start - row * width
            parent[run], size[run], corner[run] = run, end - start, column * height + row
            root = run
            if column > 0:
                root, count = _join(root, run - _ONE, cut, parent, size, corner, joins, count)
            if end < (row + _ONE) * width:
                root, count = _join(root, run + _ONE, cut, parent, size, corner, joins, count)
            if row > 0:
                other = above[run]
                while starts[other] + width < end:
                    root, count = _join(root, other, cut, parent, size, corner, joins, count)
                    other += _ONE
            if row + _ONE < height:
                other = below[run]
                while starts[other] < end + width:
                    root, count = _join(root, other, cut, parent, size, corner, joins, count)
                    other += _ONE
            if size[root] > best_size or (size[root] == best_size and corner[root] < best_corner):
                best, best_size, best_corner = root, size[root], corner[root]
        largest[cut] = best
    return largest, joins[:count]


@numba.njit(cache=True)
def _join(root, other, cut, parent, size, corner, joins, count):  # type: ignore[no-untyped-def]
    """Join the components of a root and of a run, if that is there already; return the root and the number of joins."""
    up = parent[other]
    if up == root:
        return root, count
    if up == _NOBODY:
        return root, count
    while up != other:  # halve the path on the way up
        parent[other] = parent[up]
        other = parent[up]
        up = parent[other]
    if other == root:
        return root, count
    if size[other] > size[root]:
        root, other = other, root
    size[root] += size[other]
    corner[root] = min(corner[root], corner[other])
    parent[other] = root
    joins[count, 0], joins[count, 1], joins[count, 2] = other, root, cut
    return root, count + _ONE


@numba.njit(cache=True)
def _depths(cut_of, largest, joins):  # type: ignore[no-untyped-def]
    """For each run the last `k` of 0…10 up to which it lies in every `ω_1 … ω_k`.

    Up to the cut where a run was joined it shares its root's fate, above that it was a root.
    """
    depths = np.zeros_like(cut_of)
    if largest[1] != _NOBODY:
        depths[largest[1]] = _reach(0, largest[1], cut_of, largest)
    for run, root, cut in joins[::-1]:
        reached = min(depths[root], cut)
        depths[run] = _reach(reached, run, cut_of, largest) if reached == cut else reached
    return depths


@numba.njit(cache=True)
def _reach(reached, run, cut_of, largest):  # type: ignore[no-untyped-def]
    while reached < cut_of[run] and largest[reached + 1] == run:
        reached += 1
    return reached


@numba.njit(cache=True)
def _error(preds, target, mask, starts, depths):  # type: ignore[no-untyped-def]
    """Sum over the mask of the difference in alpha that hangs loose: what exceeds a run's `l`, if 0.15 or more."""
    total = 0.0
    for run in range(depths.size):
        connected = np.float32(depths[run]) / np.float32(_CUTS)
        for pixel in range(starts[run], starts[run + 1]):
            if mask[pixel]:
                ours, true = preds[pixel] - connected, target[pixel] - connected
                ours *= ours >= np.float32(0.15)
                true *= true >= np.float32(0.15)
                total += abs(ours - true)
    return total
