"""Foreground padding (DRIP Alg. 2): colour where alpha is 0, so that no edge is left for the VAE to ring on."""

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from drip_lightning.ops.doubling import double_row, double_tensors


def pad_foreground_push_pull(foreground: Tensor, alpha: Tensor) -> Tensor:
    """Fill where alpha is 0 from a pyramid of alpha-weighted averages (push-pull, Gortler et al. 1996).

    Unlike Alg. 2 it spreads colours, never the black that lies beside them, and reaches any distance. The same values
    on every device.

    Args:
        foreground: (B, 3, H, W) uint8, straight colour.
        alpha: (B, 1, H, W) uint8.

    Returns:
        (B, 3, H, W) uint8: unchanged where alpha > 0; 0 throughout a sample whose alpha is 0 everywhere.
    """
    if foreground.device.type != "cpu":
        return _fill_tensors(foreground, alpha)
    result = torch.empty_like(foreground)
    for colour, weight, filled in zip(foreground.numpy(), alpha.numpy(), result.numpy(), strict=True):
        _fill_kernel(np.ascontiguousarray(colour), np.ascontiguousarray(weight[0]), filled)
    return result


def pad_foreground_blur(foreground: Tensor, alpha: Tensor, *, rounds: int = 64, kernel_size: int = 13) -> Tensor:
    """Fill where alpha is 0 by repeated Gaussian blur, each round written back only there (DRIP Alg. 2, as it says).

    Args:
        foreground: (B, 3, H, W) uint8, straight colour; what it holds where alpha is 0 takes part in the blur.
        alpha: (B, 1, H, W) uint8.
        rounds: Number of blurs.
        kernel_size: Side of the Gaussian kernel, odd; its sigma is OpenCV's for that size (2.3 for 13).

    Returns:
        (B, 3, H, W) uint8: unchanged where alpha > 0.
    """
    known, start = alpha > 0, foreground.float()
    padded = start
    for _ in range(rounds):
        padded = torch.where(known, start, _blur(padded, kernel_size))
    return padded.add(0.5).to(torch.uint8)


def pad_foreground_normalised_blur(
    foreground: Tensor, alpha: Tensor, *, rounds: int = 64, kernel_size: int = 13
) -> Tensor:
    """As `pad_foreground_blur`, each blur divided by the equally blurred mask of what is known: no black bleeds.

    Pixels that the blurs do not reach stay 0.
    """
    known, start = (alpha > 0).float(), foreground.float()
    padded, reached = start * known, known
    for _ in range(rounds):
        mask = _blur(reached, kernel_size)
        blurred = _blur(padded, kernel_size) / mask.clamp_min(torch.finfo(mask.dtype).tiny)
        reached = (mask > 1e-6).float()
        padded = torch.where(known > 0, start, blurred * reached)
    return padded.clamp(0, 255).add(0.5).to(torch.uint8)


def _blur(picture: Tensor, kernel_size: int) -> Tensor:
    from kornia.filters import gaussian_blur2d  # half a second of importing, for this padding alone

    sigma = 0.3 * ((kernel_size - 1) * 0.5 - 1) + 0.8
    return gaussian_blur2d(picture, (kernel_size, kernel_size), (sigma, sigma), border_type="replicate")


def _fill_tensors(foreground: Tensor, alpha: Tensor) -> Tensor:
    """Push-pull with tensors: the order of every sum is the kernel's, so that the values are."""
    levels = [_push_tensors(foreground.float(), alpha.float())]
    while max(levels[-1][1].shape[-2:]) > 1:
        levels.append(_push_tensors(*levels[-1]))
    fill = levels[-1][0]
    for colour, weight in reversed(levels[:-1]):
        coarse = double_tensors(fill, colour.shape[-2], colour.shape[-1])
        fill = coarse + (colour - coarse) * (weight / 255)
    fill = double_tensors(fill, foreground.shape[-2], foreground.shape[-1])
    return torch.where(alpha > 0, foreground, fill.add(0.5).to(torch.uint8))


def _push_tensors(colour: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    height, width = weight.shape[-2:]
    colour, weight = (F.pad(level, (0, width % 2, 0, height % 2)) for level in (colour, weight))
    corners = [(weight[..., i::2, j::2], colour[..., i::2, j::2]) for i in (0, 1) for j in (0, 1)]
    total, mixed = corners[0][0], corners[0][0] * corners[0][1]
    for corner, tint in corners[1:]:
        total, mixed = total + corner, mixed + corner * tint
    return mixed / total.clamp_min(1), total.clamp_max(255)


def _fill_kernel(colour: np.ndarray, weight: np.ndarray, result: np.ndarray) -> None:
    levels = [_push(colour, weight)]
    while max(levels[-1][1].shape) > 1:
        levels.append(_push(*levels[-1]))
    fill = levels[-1][0]
    for level, certainty in reversed(levels[:-1]):
        _pull(level, certainty, fill)
        fill = level
    _fill(colour, weight, fill, result)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _push(colour: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average 2x2 pixels by weight; what lies beyond an odd edge weighs nothing."""
    height, width = weight.shape
    rows, columns = (height + 1) // 2, (width + 1) // 2
    pooled, certainty = np.empty((3, rows, columns), np.float32), np.empty((rows, columns), np.float32)
    above, below = np.zeros(2 * columns, np.float32), np.zeros(2 * columns, np.float32)
    upper, lower = np.zeros(2 * columns, np.float32), np.zeros(2 * columns, np.float32)
    for i in range(rows):
        last = min(2 * i + 1, height - 1)
        counts = np.float32(2 * i + 1 < height)
        for j in range(width):
            above[j], below[j] = np.float32(weight[2 * i, j]), np.float32(weight[last, j]) * counts
        for j in range(columns):
            total = above[2 * j] + above[2 * j + 1] + below[2 * j] + below[2 * j + 1]
            certainty[i, j] = min(total, np.float32(255))
        for k in range(3):
            for j in range(width):
                upper[j] = above[j] * np.float32(colour[k, 2 * i, j])
                lower[j] = below[j] * np.float32(colour[k, last, j])
            for j in range(columns):
                total = above[2 * j] + above[2 * j + 1] + below[2 * j] + below[2 * j + 1]
                mixed = upper[2 * j] + upper[2 * j + 1] + lower[2 * j] + lower[2 * j + 1]
                pooled[k, i, j] = mixed / max(total, np.float32(1))
    return pooled, certainty


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _pull(colour: np.ndarray, weight: np.ndarray, coarse: np.ndarray) -> None:
    """Let coarse colours show through where a level is uncertain; changes `colour`."""
    line, row = np.empty(coarse.shape[2], np.float32), np.empty(2 * coarse.shape[2], np.float32)
    for k in range(3):
        for i in range(weight.shape[0]):
            double_row(coarse[k], i, line, row)
            for j in range(weight.shape[1]):
                colour[k, i, j] = row[j] + (colour[k, i, j] - row[j]) * (weight[i, j] / np.float32(255))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _fill(colour: np.ndarray, weight: np.ndarray, coarse: np.ndarray, result: np.ndarray) -> None:
    line, row = np.empty(coarse.shape[2], np.float32), np.empty(2 * coarse.shape[2], np.float32)
    for k in range(3):
        for i in range(weight.shape[0]):
            double_row(coarse[k], i, line, row)
            for j in range(weight.shape[1]):
                filled = np.uint8(np.int32(row[j] + np.float32(0.5)))
                result[k, i, j] = colour[k, i, j] if weight[i, j] > 0 else filled
