"""The magnitude of a map's Gaussian gradient, as the MATLAB reference of the Gradient metric takes it."""

import math

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_SIGMA = 1.4
_RADIUS = 4
"""Pixels, where the reference cuts the Gaussian off: beyond, it is less than 1 % high."""
_SIDE = 2 * _RADIUS + 1
"""A constant of compiled loops, which are five times slower without."""


def _taps() -> tuple[np.ndarray, np.ndarray]:
    """The Gaussian and its slope, each of norm 1: their outer products are the reference's 9×9 kernels."""
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    gauss = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    smooth, slope = (taps / np.linalg.norm(taps) for taps in (gauss, offsets * gauss))
    return smooth.astype(np.float32), slope.astype(np.float32)


_SMOOTH, _SLOPE = _taps()


def gradient_magnitude(maps: Tensor) -> Tensor:
    """‖∇‖ of maps that are first stretched to [0, 1], each by its own extremes; borders are replicated.

    On the CPU a compiled loop keeps a few rows in the cache, four times faster than the sums of shifted maps that
    other devices add up; the first call of a process compiles for about a second.

    Args:
        maps: (B, 1, H, W), float32.

    Returns:
        (B, 1, H, W); 0 for a constant map.
    """
    low, high = maps.amin(dim=(1, 2, 3), keepdim=True), maps.amax(dim=(1, 2, 3), keepdim=True)
    padded = F.pad(maps, (_RADIUS,) * 4, mode="replicate").sub_(low)
    if maps.device.type == "cpu":
        magnitude = torch.empty(maps.shape)
        for one, result in zip(padded, magnitude, strict=True):
            _fill_magnitude(one[0].numpy(), _SMOOTH, _SLOPE, result[0].numpy())
    else:
        magnitude = _magnitude_by_shifts(padded)
    return magnitude.div_(torch.where(high > low, high - low, 1))


@numba.njit(cache=True, fastmath=True)
def _fill_magnitude(padded, smooth, slope, magnitude):  # type: ignore[no-untyped-def]
    """Fill `magnitude` (H, W) row by row from `padded`: along columns first, then along the row."""
    height, width = magnitude.shape
    sloped, smoothed = np.empty((2, padded.shape[1]), np.float32)
    for row in range(height):
        for column in range(padded.shape[1]):
            up, across = np.float32(0), np.float32(0)
            for tap in range(_SIDE):
                up += slope[tap] * padded[row + tap, column]
                across += smooth[tap] * padded[row + tap, column]
            sloped[column], smoothed[column] = up, across
        for column in range(width):
            along_y, along_x = np.float32(0), np.float32(0)
            for tap in range(_SIDE):
                along_y += smooth[tap] * sloped[column + tap]
                along_x += slope[tap] * smoothed[column + tap]
            magnitude[row, column] = math.sqrt(along_y * along_y + along_x * along_x)


def _magnitude_by_shifts(padded: Tensor) -> Tensor:
    along_y = _correlate(_correlate(padded, _SLOPE, -2), _SMOOTH, -1)
    along_x = _correlate(_correlate(padded, _SMOOTH, -2), _SLOPE, -1)
    return along_y.square_().add_(along_x.square_()).sqrt_()


def _correlate(padded: Tensor, taps: np.ndarray, dim: int) -> Tensor:
    """Filter along `dim`, without padding, as a sum of shifted maps: in float32 whatever the GPU does to `conv2d`."""
    shifts = padded.unfold(dim, len(taps), 1).unbind(-1)
    filtered = torch.zeros_like(shifts[0])
    for shifted, tap in zip(shifts, taps.tolist(), strict=True):
        filtered.add_(shifted, alpha=tap)
    return filtered
