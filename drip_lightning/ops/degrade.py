"""What cameras and the web do to a photograph: blur, loss of resolution, noise; compression is in `jpeg`."""

import numba
import numpy as np
import torch
from torch import Tensor

_GOLDEN, _FIRST, _SECOND, _WORD = 0x9E3779B9, 0x7FEB352D, 0x846CA68B, 0xFFFFFFFF
_NOISE_DEVIATION = (4 * (256**2 - 1) / 12) ** 0.5
"""Standard deviation of the sum of four bytes."""

Taps = tuple[np.ndarray, np.ndarray]
"""A filter along one axis: for each output pixel the first input pixel, int64 (N,), and weights, float32 (N, K)."""


def blur_taps(size: int, sigma: float) -> Taps:
    """Gaussian blur of a line of `size` pixels; the line's ends are repeated."""
    radius = max(1, int(np.ceil(2.5 * sigma)))
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    weights = np.broadcast_to(weights / weights.sum(), (size, 2 * radius + 1))
    return np.arange(size) - radius, weights.astype(np.float32)


def shrink_taps(size: int, scale: float) -> Taps:
    """Reduce a line of `size` pixels by `scale` < 1 (triangle of the reduced pixel's width), enlarge it linearly."""
    small = max(1, round(size * scale))
    ratio = size / small
    reach = int(np.ceil(ratio)) * 2
    centre = (np.arange(small) + 0.5) * ratio - 0.5
    first = np.floor(centre - ratio).astype(np.int64) + 1
    down = np.clip(1 - np.abs(first[:, None] + np.arange(reach) - centre[:, None]) / ratio, 0, None)
    down /= down.sum(1, keepdims=True)
    place = (np.arange(size) + 0.5) / ratio - 0.5
    near = np.floor(place).astype(np.int64)
    share = (place - near)[:, None]
    left, right = near.clip(0, small - 1), (near + 1).clip(0, small - 1)
    offset = first[right] - first[left]
    weights = np.zeros((size, reach + int(offset.max())))
    rows = np.arange(size)[:, None]
    weights[:, :reach] += (1 - share) * down[left]
    weights[rows, offset[:, None] + np.arange(reach)] += share * down[right]
    return first[left], weights.astype(np.float32)


def filter_picture(picture: Tensor, rows: Taps, columns: Taps) -> Tensor:
    """Filter down the columns, then along the rows; the same values on every device.

    Args:
        picture: (3, H, W) uint8.
        rows: Taps over H rows.
        columns: Taps over W columns.

    Returns:
        (3, H, W) uint8.
    """
    if picture.device.type != "cpu":
        return _filter_picture_tensors(picture, rows, columns)
    result = torch.empty_like(picture)
    _filter_kernel(picture.numpy(), *rows, *columns, result.numpy())
    return result


def add_noise(picture: Tensor, deviation: float, seed: int) -> Tensor:
    """Add to every value a bell-shaped random number: the sum of the four bytes of a hash of its place and the seed.

    Args:
        picture: (3, H, W) uint8.
        deviation: Standard deviation, in units of 1/255.
        seed: 32 bits.

    Returns:
        (3, H, W) uint8, the same on every device.
    """
    if picture.device.type != "cpu":
        return _noise_tensors(picture, deviation, seed)
    scale = np.float32(deviation / _NOISE_DEVIATION)
    result = torch.empty_like(picture)
    _noise_kernel(picture.numpy().reshape(-1), scale, np.uint32(seed), result.numpy().reshape(-1))
    return result


def _filter_picture_tensors(picture: Tensor, rows: Taps, columns: Taps) -> Tensor:
    filtered = _filter_tensors(_filter_tensors(picture.float(), rows, 1), columns, 2)
    return filtered.clamp(0, 255).add(0.5).to(torch.uint8)


def _filter_tensors(picture: Tensor, taps: Taps, axis: int) -> Tensor:
    first, weights = (torch.from_numpy(array).to(picture.device) for array in taps)
    shape = [-1 if i == axis else 1 for i in range(3)]
    total = torch.zeros_like(picture)
    for k in range(weights.shape[1]):
        lines = picture.index_select(axis, (first + k).clamp(0, picture.shape[axis] - 1))
        total = total + lines * weights[:, k].view(shape)
    return total


def _noise_tensors(picture: Tensor, deviation: float, seed: int) -> Tensor:
    scale = float(np.float32(deviation / _NOISE_DEVIATION))
    place = torch.arange(picture.numel(), device=picture.device).view(picture.shape)
    word = (place * _GOLDEN + seed) & _WORD
    word = ((word ^ (word >> 16)) * _FIRST) & _WORD
    word = ((word ^ (word >> 15)) * _SECOND) & _WORD
    word = word ^ (word >> 16)
    total = (word & 255) + ((word >> 8) & 255) + ((word >> 16) & 255) + (word >> 24) - 510
    return (picture.float() + total.float() * scale).clamp(0, 255).add(0.5).to(torch.uint8)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _filter_kernel(
    picture: np.ndarray,
    first_row: np.ndarray,
    row_weights: np.ndarray,
    first_column: np.ndarray,
    column_weights: np.ndarray,
    result: np.ndarray,
) -> None:
    height, width = picture.shape[1:]
    filtered, transposed = np.empty((height, width), np.float32), np.empty((width, height), np.float32)
    across, down = np.empty((width, height), np.float32), np.empty((height, width), np.float32)
    for channel in range(3):
        for i in range(height):
            _sum_lines(picture[channel], first_row[i], row_weights[i], filtered[i])
        _transpose(filtered, transposed)
        for j in range(width):
            _sum_lines(transposed, first_column[j], column_weights[j], across[j])
        _transpose(across, down)
        for i in range(height):
            for j in range(width):
                value = min(max(down[i, j], np.float32(0)), np.float32(255))
                result[channel, i, j] = np.uint8(np.int32(value + np.float32(0.5)))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _transpose(lines: np.ndarray, transposed: np.ndarray) -> None:
    """Swap rows and columns, sixteen at a time: single ones would drive each other out of the processor's cache."""
    height, width = lines.shape
    for top in range(0, height, 16):
        for left in range(0, width, 16):
            for i in range(top, min(top + 16, height)):
                for j in range(left, min(left + 16, width)):
                    transposed[j, i] = lines[i, j]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _sum_lines(lines: np.ndarray, first: int, weights: np.ndarray, total: np.ndarray) -> None:
    total[:] = 0
    for k in range(len(weights)):
        line = lines[min(max(first + k, 0), len(lines) - 1)]
        weight = weights[k]
        for j in range(len(total)):
            total[j] = total[j] + np.float32(line[j]) * weight


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _noise_kernel(picture: np.ndarray, scale: np.float32, seed: np.uint32, result: np.ndarray) -> None:
    low, high, half = np.float32(0), np.float32(255), np.float32(0.5)
    for i in range(len(picture)):
        word = np.uint32(np.uint32(i) * np.uint32(_GOLDEN) + seed)
        word = np.uint32((word ^ (word >> np.uint32(16))) * np.uint32(_FIRST))
        word = np.uint32((word ^ (word >> np.uint32(15))) * np.uint32(_SECOND))
        word = np.uint32(word ^ (word >> np.uint32(16)))
        total = np.int32(word & np.uint32(255)) + np.int32((word >> np.uint32(8)) & np.uint32(255))
        total += np.int32((word >> np.uint32(16)) & np.uint32(255)) + np.int32(word >> np.uint32(24)) - np.int32(510)
        value = np.float32(picture[i]) + np.float32(np.int32(total)) * scale
        result[i] = np.uint8(np.int32(min(max(value, low), high) + half))
