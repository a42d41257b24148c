"""Photometric distortion: brightness, contrast, saturation and hue as one affine map of the colours."""

import math

import numba
import numpy as np
import torch
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)
_STEPS = 4096


def colour_matrix(
    *, brightness: float = 0.0, contrast: float = 1.0, saturation: float = 1.0, hue: float = 0.0
) -> np.ndarray:
    """The affine map that turns the hue, scales saturation, then contrast about mid-grey, then adds brightness.

    Args:
        brightness: Added to the colours, in [-1, 1].
        contrast: Factor on the distance from mid-grey.
        saturation: Factor on the distance from the pixel's own grey (Rec. 601 luma).
        hue: Rotation about the grey axis, in radians; greys stay.

    Returns:
        (3, 4) float64: a 3x3 matrix and an offset, for colours in [0, 1]. Maps are chained by `chain`.
    """
    cosine, sine = math.cos(hue), math.sin(hue) / math.sqrt(3)
    third = (1 - cosine) / 3
    rotation = cosine * np.eye(3) + third + sine * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    saturate = saturation * np.eye(3) + (1 - saturation) * np.array([_LUMA] * 3)
    offset = np.full((3, 1), 0.5 * (1 - contrast) + brightness)
    return np.hstack([contrast * saturate @ rotation, offset])


def chain(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The map that does `first`, then `second`, without clipping in between."""
    return np.hstack([second[:, :3] @ first[:, :3], second[:, :3] @ first[:, 3:] + second[:, 3:]])


def uint8_matrix(matrix: np.ndarray) -> Tensor:
    """A map of colours in [0, 1] as one of 8-bit values: (3, 4) float32, rounded so that `distort` computes exactly."""
    scaled = matrix * np.array([1, 1, 1, 255])
    return torch.from_numpy((np.rint(scaled * _STEPS) / _STEPS).astype(np.float32))


def distort(picture: Tensor, matrices: Tensor) -> Tensor:
    """Apply each sample's colour map; the same values on every device.

    Args:
        picture: (B, 3, H, W) uint8.
        matrices: (B, 3, 4) float32, from `uint8_matrix`.

    Returns:
        (B, 3, H, W) uint8, rounded and clipped.
    """
    if picture.device.type != "cpu":
        return _distort_tensors(picture, matrices)
    result = torch.empty_like(picture)
    for source, matrix, target in zip(picture.numpy(), matrices.numpy(), result.numpy(), strict=True):
        _distort_kernel(source.reshape(3, -1), matrix, target.reshape(3, -1))
    return result


def _distort_tensors(picture: Tensor, matrices: Tensor) -> Tensor:
    red, green, blue = picture.float().unsqueeze(1).unbind(2)
    a, b, c, offset = matrices[..., None, None].unbind(2)
    return (a * red + b * green + c * blue + offset).clamp(0, 255).add(0.5).to(torch.uint8)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _distort_kernel(picture: np.ndarray, matrix: np.ndarray, result: np.ndarray) -> None:
    for channel in range(3):
        a, b, c, offset = matrix[channel]
        for i in range(picture.shape[1]):
            value = (
                a * np.float32(picture[0, i]) + b * np.float32(picture[1, i]) + c * np.float32(picture[2, i]) + offset
            )
            value = min(max(value, np.float32(0)), np.float32(255))
            result[channel, i] = np.uint8(np.int32(value + np.float32(0.5)))
