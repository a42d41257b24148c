"""Geometry, crop first: only the pixels that a sample shows are read from a picture, in one warp of RGBA."""

import math

import numba
import numpy as np

from drip_lightning.data.placement import Placement

Pyramid = list[np.ndarray]
"""A picture and its reductions by 2, 4, …: each (H, W) uint32, the bytes of straight R, G, B and alpha."""

_REDUCTIONS = 3


def pyramid(rgba: np.ndarray) -> Pyramid:
    """Reduce a picture by powers of two, colours weighted by alpha.

    Args:
        rgba: (H, W, 4) uint8, straight colour.
    """
    levels = [np.ascontiguousarray(rgba).view(np.uint32)[..., 0]]
    while len(levels) <= _REDUCTIONS and min(levels[-1].shape) > 1:
        levels.append(_halve(levels[-1]))
    return levels


def opaque(picture: Pyramid) -> Pyramid:
    """The same picture with the colours that alpha hides, and alpha 255 throughout; its reductions are made anew."""
    packed = picture[0] | np.uint32(0xFF000000)
    return pyramid(packed.view(np.uint8).reshape(*packed.shape, 4))


def crop_foreground(picture: Pyramid, centres: np.ndarray, placement: Placement, size: int) -> np.ndarray:
    """Crop around an unknown pixel, and rotate, shear, stretch, resize and flip it in one warp.

    The crop lies within the picture where that is large enough; what lies beyond has alpha 0. Colours that alpha hides
    never bleed into others.

    Args:
        picture: The foreground.
        centres: (N, 2) rows and columns of pixels that can be in the middle; none for the middle of the picture.
        placement: The sample's.
        size: Side of the output.

    Returns:
        (4, size, size) uint8, straight colour and alpha; colour is 0 where alpha is 0.
    """
    height, width = picture[0].shape
    linear = _linear_map(placement)
    reach = np.abs(linear).sum(1) * (placement.scale * size / 2)  # half the width and height that the crop covers
    row, column = centres[int(placement.place[0] * len(centres))] if len(centres) else (height // 2, width // 2)
    middle = np.array([_inside(column + 0.5, reach[0], width), _inside(row + 0.5, reach[1], height)])
    return _warp(picture, linear * placement.scale, middle, size)


def crop_background(picture: Pyramid, placement: Placement, size: int) -> np.ndarray:
    """Crop a square that lies within the background, resize (a small background is enlarged) and flip it.

    Arguments are those of `crop_foreground`.

    Returns:
        (3, size, size) uint8.
    """
    height, width = picture[0].shape
    side = min(placement.scale * size, height, width)
    top, left = (place * (room - side) for place, room in zip(placement.place, (height, width), strict=True))
    middle = np.array([left + side / 2, top + side / 2])
    return _warp(picture, _linear_map(placement) * (side / size), middle, size)[:3]


def lay_over(front: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Lay one foreground over another: alpha = 1 - (1 - a1) (1 - a2), colours mixed accordingly, divided by it.

    Args:
        front: (4, H, W) uint8, straight colour and alpha.
        behind: The same.

    Returns:
        (4, H, W) uint8, straight colour and alpha.
    """
    result = np.empty_like(front)
    _lay_over(front.reshape(4, -1), behind.reshape(4, -1), result.reshape(4, -1))
    return result


def _linear_map(placement: Placement) -> np.ndarray:
    """Directions in the picture, (x, y) in columns, of a step to the right and a step down in the output."""
    angle = math.radians(placement.rotation)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    shear = np.array([[1, math.tan(math.radians(placement.shear))], [0, 1]])
    root = math.sqrt(placement.stretch)
    return rotation @ shear @ np.diag([(-1 if placement.flip else 1) * root, 1 / root])


def _inside(centre: float, reach: float, room: float) -> float:
    """The nearest middle of a crop within the picture, or, for a crop larger than it, all around it."""
    low, high = sorted((reach, room - reach))
    return min(max(centre, low), high)


def _warp(picture: Pyramid, linear: np.ndarray, middle: np.ndarray, size: int) -> np.ndarray:
    # the reduction whose pixels are nearest in size to the output's: neither aliased nor blurred
    zoom = math.sqrt(abs(np.linalg.det(linear)))
    level = min(max(round(math.log2(zoom)), 0), len(picture) - 1) if zoom > 0 else 0
    source = picture[level]
    linear, middle = linear / 2**level, middle / 2**level
    start = middle + linear @ np.full(2, 0.5 - size / 2) - 0.5  # centre of the first output pixel
    result = np.empty((4, size, size), np.uint8)
    steps = np.rint(np.stack([*linear.T, start]) * 65536).astype(np.int64)
    _warp_kernel(source, steps, result)
    return result


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _halve(source: np.ndarray) -> np.ndarray:
    """Average 2x2 pixels of packed RGBA, colours weighted by alpha; an odd last row or column weighs double."""
    height, width = source.shape
    result = np.empty(((height + 1) // 2, (width + 1) // 2), np.uint32)
    byte = np.uint32(255)
    for i in range(result.shape[0]):
        for j in range(result.shape[1]):
            red = green = blue = total = np.uint32(0)
            for k in range(4):
                pixel = source[min(2 * i + k // 2, height - 1), min(2 * j + k % 2, width - 1)]
                alpha = pixel >> np.uint32(24)
                red += alpha * (pixel & byte)
                green += alpha * ((pixel >> np.uint32(8)) & byte)
                blue += alpha * ((pixel >> np.uint32(16)) & byte)
                total += alpha
            alpha = (total + np.uint32(2)) >> np.uint32(2)
            if alpha == 0:
                result[i, j] = 0
            else:
                half = total >> np.uint32(1)
                red, green, blue = (red + half) // total, (green + half) // total, (blue + half) // total
                packed = red | (green << np.uint32(8)) | (blue << np.uint32(16)) | (alpha << np.uint32(24))
                result[i, j] = np.uint32(packed)
    return result


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _warp_kernel(source: np.ndarray, steps: np.ndarray, result: np.ndarray) -> None:
    """Bilinear, weighted by alpha; `steps` right and down, and the start, are (x, y) in 65536ths of a source pixel."""
    size = result.shape[2]
    taps, places, offsets = np.zeros((4, size), np.uint32), np.zeros((2, size), np.float32), np.zeros(size, np.int32)
    a, b, c, d, across, down = taps[0], taps[1], taps[2], taps[3], places[0], places[1]
    (dx, dy), (row_dx, row_dy), (x, y) = steps
    for i in range(result.shape[1]):
        first, last = _inner(source.shape, dx, dy, x, y, size)
        if last > first:
            part = slice(first, last)
            start = (x + first * dx, y + first * dy)
            _gather(source, dx, dy, *start, a[part], b[part], c[part], d[part], across[part], down[part], offsets)
        _gather_edge(source, dx, dy, x, y, 0, first, taps, places)
        _gather_edge(source, dx, dy, x, y, last, size, taps, places)
        _interpolate(a, b, c, d, across, down, result[:, i])
        x, y = x + row_dx, y + row_dy


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _inner(shape: tuple[int, int], dx: int, dy: int, x: int, y: int, size: int) -> tuple[int, int]:
    """The part of an output row whose four pixels all lie within the source."""
    bottom, right = (shape[0] - 1) << 16, (shape[1] - 1) << 16
    first = 0
    while first < size and not (0 <= x + first * dx < right and 0 <= y + first * dy < bottom):
        first += 1
    last = size
    while last > first and not (0 <= x + (last - 1) * dx < right and 0 <= y + (last - 1) * dy < bottom):
        last -= 1
    return first, last


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _gather(
    source: np.ndarray,
    dx: int,
    dy: int,
    x: int,
    y: int,
    a: np.ndarray,
    b: np.ndarray,
    c: np.ndarray,
    d: np.ndarray,
    across: np.ndarray,
    down: np.ndarray,
    offsets: np.ndarray,
) -> None:
    """The four pixels around each place, and where between them it is; two loops, the first in vector instructions."""
    width = source.shape[1]
    pixels = source.reshape(-1)
    below = pixels[width:]
    for j in range(len(a)):
        column, row = x + j * dx, y + j * dy
        offsets[j] = np.int32((row >> 16) * width + (column >> 16))
        across[j], down[j] = np.float32(np.int32(column & 65535)), np.float32(np.int32(row & 65535))
    for j in range(len(a)):
        k = np.uint64(offsets[j])
        a[j], b[j], c[j], d[j] = pixels[k], pixels[k + np.uint64(1)], below[k], below[k + np.uint64(1)]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _gather_edge(
    source: np.ndarray, dx: int, dy: int, x: int, y: int, first: int, last: int, taps: np.ndarray, places: np.ndarray
) -> None:
    """As `_gather`, where some of the four pixels lie beyond the source: those are 0."""
    height, width = source.shape
    for j in range(first, last):
        column, row = (x + j * dx) >> 16, (y + j * dy) >> 16
        places[0, j], places[1, j] = np.float32((x + j * dx) & 65535), np.float32((y + j * dy) & 65535)
        if not (-1 <= column < width and -1 <= row < height):
            taps[0, j] = taps[1, j] = taps[2, j] = taps[3, j] = 0
            continue
        for k in range(4):
            tap_row, tap_column = row + k // 2, column + k % 2
            within = 0 <= tap_row < height and 0 <= tap_column < width
            taps[k, j] = source[tap_row, tap_column] if within else np.uint32(0)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _interpolate(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, x: np.ndarray, y: np.ndarray, result: np.ndarray
) -> None:
    unit, one, half = np.float32(1 / 65536), np.float32(1), np.float32(0.5)
    red, green, blue, alpha = result[0], result[1], result[2], result[3]
    for j in range(len(a)):
        right, down = x[j] * unit, y[j] * unit
        left, up = one - right, one - down
        wa, wb = left * up * _byte(a[j], 24), right * up * _byte(b[j], 24)
        wc, wd = left * down * _byte(c[j], 24), right * down * _byte(d[j], 24)
        total = wa + wb + wc + wd
        rounded = np.int32(total + half)
        share = one / max(total, np.float32(1e-3)) if rounded > 0 else np.float32(0)
        rounding = half if rounded > 0 else np.float32(0)
        alpha[j] = np.uint8(rounded)
        tint = wa * _byte(a[j], 0) + wb * _byte(b[j], 0) + wc * _byte(c[j], 0) + wd * _byte(d[j], 0)
        red[j] = np.uint8(np.int32(tint * share + rounding))
        tint = wa * _byte(a[j], 8) + wb * _byte(b[j], 8) + wc * _byte(c[j], 8) + wd * _byte(d[j], 8)
        green[j] = np.uint8(np.int32(tint * share + rounding))
        tint = wa * _byte(a[j], 16) + wb * _byte(b[j], 16) + wc * _byte(c[j], 16) + wd * _byte(d[j], 16)
        blue[j] = np.uint8(np.int32(tint * share + rounding))


@numba.njit(cache=True, error_model="numpy", nogil=True, inline="always")
def _byte(pixel: np.uint32, shift: int) -> np.float32:
    return np.float32(np.int32((pixel >> np.uint32(shift)) & np.uint32(255)))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _lay_over(front: np.ndarray, behind: np.ndarray, result: np.ndarray) -> None:
    full, half = np.float32(255), np.float32(0.5)
    for i in range(front.shape[1]):
        a1, a2 = np.float32(front[3, i]), np.float32(behind[3, i])
        near, far = full * a1, (full - a1) * a2
        total = near + far
        result[3, i] = np.uint8(np.int32(total / full + half))
        share = np.float32(1) / max(total, np.float32(1))
        rounding = half if total > 0 else np.float32(0)
        for k in range(3):
            tint = near * np.float32(front[k, i]) + far * np.float32(behind[k, i])
            result[k, i] = np.uint8(np.int32(tint * share + rounding))
