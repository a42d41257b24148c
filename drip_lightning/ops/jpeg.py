"""What JPEG does to a picture: chroma at half size, cosine transform of 8x8 blocks, quantisation, and back.

The entropy coder, which loses nothing, is left out; so it is fast, and gives the same values on every device.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from drip_lightning.ops.doubling import double_row, double_tensors

_LUMA_TABLE = (
    "16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62 "
    "18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"
)
_CHROMA_TABLE = (
    "17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99 "
    + " ".join(["99"] * 32)
)
_TABLES = np.array([[int(step) for step in table.split()] for table in (_LUMA_TABLE, _CHROMA_TABLE)]).reshape(2, 8, 8)
_TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
_COSINES = np.array(
    [[np.sqrt((1 if k else 0.5) / 4) * np.cos((2 * n + 1) * k * np.pi / 16) for n in range(8)] for k in range(8)],
    np.float32,
)


def jpeg_artefacts(picture: Tensor, quality: int) -> Tensor:
    """Compress and decompress a picture as a baseline JPEG with 4:2:0 chroma does.

    Args:
        picture: (3, H, W) uint8.
        quality: From 1 to 100, on the scale of the Independent JPEG Group.

    Returns:
        (3, H, W) uint8.
    """
    if picture.device.type != "cpu":
        return _jpeg_tensors(picture, quality)
    height, width = picture.shape[-2:]
    padded = _pad_to_blocks(picture)
    result = torch.empty_like(padded)
    _jpeg_kernel(padded.numpy(), _steps(quality), _COSINES, _TO_YCC, result.numpy())
    return result[:, :height, :width].contiguous()


def _steps(quality: int) -> np.ndarray:
    """Quantisation steps (2, 8, 8) of luma and chroma, transposed as the transform leaves the blocks."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((_TABLES * scale + 50) // 100).clip(1, 255).transpose(0, 2, 1).astype(np.float32)


def _pad_to_blocks(picture: Tensor) -> Tensor:
    for axis in (-2, -1):
        size = picture.shape[axis]
        if size % 16:
            last = picture.narrow(axis, size - 1, 1)
            picture = torch.cat([picture, *[last] * (-size % 16)], axis)
    return picture.contiguous()


def _jpeg_tensors(picture: Tensor, quality: int) -> Tensor:
    """With tensors: the order of every sum is the kernel's, so that the values are."""
    height, width = picture.shape[-2:]
    steps = torch.from_numpy(_steps(quality)).to(picture.device)
    red, green, blue = _pad_to_blocks(picture).float()
    y, cb, cr = (a * red + b * green + c * blue for a, b, c in _TO_YCC.tolist())
    planes = [_blocks_tensors((y - 128).add(0.5).floor(), steps[0])]
    for chroma in (cb, cr):
        chroma = chroma.add(0.5).floor()
        small = (chroma[::2, ::2] + chroma[::2, 1::2] + chroma[1::2, ::2] + chroma[1::2, 1::2]) * 0.25
        small = _blocks_tensors(small.add(0.5).floor(), steps[1])
        planes.append(double_tensors(small, *chroma.shape))
    y, cb, cr = planes
    y = y + 128
    channels = (y + cr * 1.402, y - cb * 0.344136 - cr * 0.714136, y + cb * 1.772)
    return torch.stack(channels)[:, :height, :width].clamp(0, 255).add(0.5).to(torch.uint8)


def _blocks_tensors(plane: Tensor, steps: Tensor) -> Tensor:
    height, width = plane.shape
    blocks = plane.view(height // 8, 8, width // 8, 8).transpose(1, 2)
    turned = _transform_tensors(_transform_tensors(blocks, _COSINES).transpose(-1, -2), _COSINES)
    turned = (turned / steps + 0.5).floor() * steps
    blocks = _transform_tensors(_transform_tensors(turned, _COSINES.T).transpose(-1, -2), _COSINES.T)
    return blocks.transpose(1, 2).reshape(plane.shape)


def _transform_tensors(blocks: Tensor, matrix: np.ndarray) -> Tensor:
    rows = []
    for weights in matrix.tolist():
        total = blocks[..., 0, :] * weights[0]
        for n in range(1, 8):
            total = total + blocks[..., n, :] * weights[n]
        rows.append(total)
    return torch.stack(rows, -2)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _jpeg_kernel(
    picture: np.ndarray, steps: np.ndarray, cosines: np.ndarray, to_ycc: np.ndarray, result: np.ndarray
) -> None:
    height, width = picture.shape[1:]
    half = np.float32(0.5)
    luma = np.empty((height, width), np.float32)
    chroma = np.empty((2, height // 2, width // 2), np.float32)
    lines = np.empty((2, 2, width), np.float32)
    for i in range(height):
        for j in range(width):
            red, green, blue = (
                np.float32(picture[0, i, j]),
                np.float32(picture[1, i, j]),
                np.float32(picture[2, i, j]),
            )
            y = to_ycc[0, 0] * red + to_ycc[0, 1] * green + to_ycc[0, 2] * blue
            luma[i, j] = np.floor(y - np.float32(128) + half)
            for k in range(2):
                c = to_ycc[k + 1, 0] * red + to_ycc[k + 1, 1] * green + to_ycc[k + 1, 2] * blue
                lines[k, i % 2, j] = np.floor(c + half)
        if i % 2:
            for k in range(2):
                for j in range(width // 2):
                    mean = lines[k, 0, 2 * j] + lines[k, 0, 2 * j + 1]
                    mean = (mean + lines[k, 1, 2 * j] + lines[k, 1, 2 * j + 1]) * np.float32(0.25)
                    chroma[k, i // 2, j] = np.floor(mean + half)
    _quantise_blocks(luma, steps[0], cosines)
    for k in range(2):
        _quantise_blocks(chroma[k], steps[1], cosines)
    _to_uint8(luma, chroma, result)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _quantise_blocks(plane: np.ndarray, steps: np.ndarray, cosines: np.ndarray) -> None:
    """Transform, quantise and transform back, a band of eight rows at a time, in place."""
    width = plane.shape[1]
    band, other = np.empty((8, width), np.float32), np.empty((8, width), np.float32)
    inverse = np.ascontiguousarray(cosines.T)
    wide_steps = np.empty((8, width), np.float32)
    for n in range(8):
        for j in range(width):
            wide_steps[n, j] = steps[n, j % 8]
    for top in range(0, plane.shape[0], 8):
        _transform(plane[top : top + 8], cosines, band)
        _turn_blocks(band, other)
        _transform(other, cosines, band)
        for n in range(8):
            for j in range(width):
                step = wide_steps[n, j]
                band[n, j] = np.floor(band[n, j] / step + np.float32(0.5)) * step
        _transform(band, inverse, other)
        _turn_blocks(other, band)
        _transform(band, inverse, plane[top : top + 8])


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _transform(band: np.ndarray, matrix: np.ndarray, result: np.ndarray) -> None:
    for k in range(8):
        a, b, c, d, e, f, g, h = matrix[k]
        for j in range(band.shape[1]):
            result[k, j] = (
                band[0, j] * a + band[1, j] * b + band[2, j] * c + band[3, j] * d
                + band[4, j] * e + band[5, j] * f + band[6, j] * g + band[7, j] * h
            )  # fmt: skip


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _turn_blocks(band: np.ndarray, result: np.ndarray) -> None:
    for left in range(0, band.shape[1], 8):
        for i in range(8):
            for j in range(8):
                result[j, left + i] = band[i, left + j]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _to_uint8(luma: np.ndarray, chroma: np.ndarray, result: np.ndarray) -> None:
    """Chroma doubled by linear interpolation, then back to red, green and blue."""
    height, width = luma.shape
    line = np.empty(width // 2, np.float32)
    cb, cr = np.empty(width, np.float32), np.empty(width, np.float32)
    for i in range(height):
        double_row(chroma[0], i, line, cb)
        double_row(chroma[1], i, line, cr)
        low, high, half = np.float32(0), np.float32(255), np.float32(0.5)
        for j in range(width):
            y = luma[i, j] + np.float32(128)
            red = y + cr[j] * np.float32(1.402)
            green = y - cb[j] * np.float32(0.344136) - cr[j] * np.float32(0.714136)
            blue = y + cb[j] * np.float32(1.772)
            result[0, i, j] = np.uint8(np.int32(min(max(red, low), high) + half))
            result[1, i, j] = np.uint8(np.int32(min(max(green, low), high) + half))
            result[2, i, j] = np.uint8(np.int32(min(max(blue, low), high) + half))
