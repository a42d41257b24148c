"""The compositing equation (DRIP Eq. 1), in [0, 1] and on 8-bit values."""

from collections.abc import Sequence

import numba
import numpy as np
import torch
from torch import Tensor

from drip_lightning.ops.srgb import linear_to_srgb, srgb_to_linear

_LINEAR_STEPS = 1 << 14


def over(foreground: Tensor, alpha: Tensor, background: Tensor) -> Tensor:
    """Composite straight foreground over background, `I = aF + (1-a)B` (DRIP Eq. 1).

    Args:
        foreground: (B, 3, H, W) in [0, 1], not premultiplied.
        alpha: (B, 1, H, W) in [0, 1].
        background: (B, 3, H, W) in [0, 1].

    Returns:
        (B, 3, H, W) in [0, 1]; exactly the foreground where alpha is 1, exactly the background where it is 0.
    """
    return alpha * foreground + (1 - alpha) * background


def agreeing(image: Tensor, foreground: Tensor, background: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Change both colours as little as possible, in the sum of squares, so that `over` makes the image of them.

    Where alpha is near 1, the foreground becomes the image's colour whatever it was; where it is near 0, it stays.

    Args:
        image: (B, 3, H, W) in [0, 1].
        foreground: (B, 3, H, W), straight colour, near [0, 1].
        background: (B, 3, H, W), near [0, 1].
        alpha: (B, 1, H, W) in [0, 1].

    Returns:
        Foreground and background (B, 3, H, W), near [0, 1].
    """
    share = (image - over(foreground, alpha, background)) / (alpha.square() + (1 - alpha).square())
    return foreground + alpha * share, background + (1 - alpha) * share


def composite_uint8(foreground: Tensor, alpha: Tensor, background: Tensor, linear: Sequence[bool]) -> Tensor:
    """Composite 8-bit pictures, rounded to the nearest value; the same values on every device.

    Args:
        foreground: (B, 3, H, W) uint8, not premultiplied.
        alpha: (B, 1, H, W) uint8.
        background: (B, 3, H, W) uint8.
        linear: For each sample, whether light adds up (sRGB decoded, composited, encoded) or values do, as in Eq. 1.

    Returns:
        (B, 3, H, W) uint8; exactly the foreground where alpha is 255, exactly the background where it is 0.
    """
    if foreground.device.type != "cpu":
        return _composite_tensors(foreground, alpha, background, linear)
    result = torch.empty_like(foreground)
    layers = (layer.numpy() for layer in (foreground, alpha, background, result))
    for front, weight, back, mixed_values, wanted in zip(*layers, linear, strict=True):
        if wanted:
            _mix_light(front, weight[0], back, _LIGHT, _VALUE, mixed_values)
        else:
            _mix(front, weight[0], back, mixed_values)
    return result


def _light_tables() -> tuple[np.ndarray, np.ndarray]:
    """SRGB (IEC 61966-2-1): light of each of 256 values, float32 in [0, 1]; value of each step of light."""
    value = np.arange(256) / 255
    step = np.arange(_LINEAR_STEPS) / (_LINEAR_STEPS - 1)
    return srgb_to_linear(value).astype(np.float32), np.rint(linear_to_srgb(step) * 255).astype(np.uint8)


_LIGHT, _VALUE = _light_tables()


def _composite_tensors(foreground: Tensor, alpha: Tensor, background: Tensor, linear: Sequence[bool]) -> Tensor:
    mixed = _mix_tensors(foreground, alpha, background)
    chosen = [i for i, wanted in enumerate(linear) if wanted]
    if chosen:
        mixed[chosen] = _mix_light_tensors(foreground[chosen], alpha[chosen], background[chosen])
    return mixed


def _mix_tensors(foreground: Tensor, alpha: Tensor, background: Tensor) -> Tensor:
    weight = alpha.float()
    mixed = weight * foreground.float() + (255 - weight) * background.float()
    return (mixed / 255).add(0.5).to(torch.uint8)


def _mix_light_tensors(foreground: Tensor, alpha: Tensor, background: Tensor) -> Tensor:
    light, value = (torch.from_numpy(table).to(alpha.device) for table in (_LIGHT, _VALUE))
    weight = alpha.float()
    mixed = (weight * light[foreground.long()] + (255 - weight) * light[background.long()]) / 255
    return value[(mixed * (_LINEAR_STEPS - 1)).add(0.5).long()]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _mix(foreground: np.ndarray, alpha: np.ndarray, background: np.ndarray, result: np.ndarray) -> None:
    for k in range(3):
        for i in range(alpha.shape[0]):
            for j in range(alpha.shape[1]):
                weight = np.float32(alpha[i, j])
                mixed = weight * np.float32(foreground[k, i, j])
                mixed += (np.float32(255) - weight) * np.float32(background[k, i, j])
                result[k, i, j] = np.uint8(np.int32(mixed / np.float32(255) + np.float32(0.5)))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _mix_light(
    foreground: np.ndarray,
    alpha: np.ndarray,
    background: np.ndarray,
    light: np.ndarray,
    value: np.ndarray,
    result: np.ndarray,
) -> None:
    steps = np.float32(len(value) - 1)
    for k in range(3):
        for i in range(alpha.shape[0]):
            for j in range(alpha.shape[1]):
                weight = np.float32(alpha[i, j])
                mixed = weight * light[foreground[k, i, j]]
                mixed += (np.float32(255) - weight) * light[background[k, i, j]]
                result[k, i, j] = value[np.int32(mixed / np.float32(255) * steps + np.float32(0.5))]
