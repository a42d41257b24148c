"""Blurs of straight colour and alpha that are right: computed on premultiplied colour."""

import math

import numpy as np
import torch


def convolve(rgba: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Blur colour and alpha together, as light does: `aF` and `a` are blurred, and F is their quotient.

    Args:
        rgba: (4, H, W) uint8, straight colour and alpha; its borders are repeated.
        kernel: (K, K) float32, K odd, with sum 1.

    Returns:
        (4, H, W) uint8, straight colour and alpha; colour is 0 where alpha is 0.
    """
    reach = kernel.shape[0] // 2
    values = rgba.astype(np.float32)
    values[:3] *= values[3:] / 255
    padded = torch.from_numpy(np.pad(values, ((0, 0), (reach, reach), (reach, reach)), mode="edge"))
    blurred = torch.nn.functional.conv2d(padded[:, None], torch.from_numpy(kernel)[None, None])[:, 0].numpy()
    alpha = np.clip(blurred[3:] + 0.5, 0, 255).astype(np.uint8)
    colour = blurred[:3] * 255 / np.maximum(blurred[3:], 1e-3)
    colour[:, alpha[0] == 0] = 0
    return np.concatenate([np.clip(colour + 0.5, 0, 255).astype(np.uint8), alpha])


def disc(radius: float) -> np.ndarray:
    """A disc's kernel with an antialiased rim: what a lens out of focus makes of a point.

    Args:
        radius: In pixels.

    Returns:
        (K, K) float32 with sum 1.
    """
    reach = math.ceil(radius + 0.5)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return _normalised(np.clip(radius + 0.5 - np.hypot(rows, columns), 0, 1))


def line(length: float, angle: float) -> np.ndarray:
    """A line's kernel: what steady motion makes of a point.

    Args:
        length: In pixels.
        angle: In radians; 0 is along the rows.

    Returns:
        (K, K) float32 with sum 1.
    """
    reach = math.ceil(length / 2 + 1)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = columns * math.cos(angle) + rows * math.sin(angle)
    across = rows * math.cos(angle) - columns * math.sin(angle)
    return _normalised(np.clip(length / 2 + 0.5 - abs(along), 0, 1) * np.clip(1 - abs(across), 0, 1))


def _normalised(kernel: np.ndarray) -> np.ndarray:
    return (kernel / kernel.sum()).astype(np.float32)
