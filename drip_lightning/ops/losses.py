"""Reconstruction losses of the transparency decoder (DRIP App. A.3), as pure functions.

Every loss looks at `weight * (preds - target)`. Foreground terms take the true alpha as weight, since colour is not
defined where alpha is 0, and so compare `aF`, as the foreground metrics do. The pyramid and the Sobel filters are
linear, hence are applied once, to that difference. Half-precision maps are compared in float32, also under autocast.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_SMALLEST_LEVEL = 3
"""Pixels: reflecting two of them beyond a border takes three."""


def region_l1_loss(preds: Tensor, target: Tensor, unknown_mask: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """L1 over the unknown region plus L1 over the known region, each divided by its own area (DRIP App. A.3).

    The areas are each sample's own, so that a batch's loss is the mean of its samples' however it is shared between
    ranks; an empty region adds 0. A constant error `e` everywhere gives `2e`.

    Args:
        preds: (B, C, H, W).
        target: (B, C, H, W).
        unknown_mask: (B, 1, H, W), bool: true where the trimap is unknown.
        weight: (B, 1, H, W) in [0, 1], or None for 1 everywhere.

    Returns:
        A scalar ≥ 0, in the units of the maps.

    Raises:
        ValueError: shapes differ, or `unknown_mask` is not boolean.
    """
    error = _weighted_error(preds, target, weight).abs().mean(dim=1, keepdim=True)
    if unknown_mask.shape != error.shape or unknown_mask.dtype != torch.bool:
        raise ValueError(
            f"unknown_mask: expected bool of shape {tuple(error.shape)}, "
            f"got {unknown_mask.dtype} of shape {tuple(unknown_mask.shape)}"
        )
    return _masked_mean(error, unknown_mask) + _masked_mean(error, ~unknown_mask)


def l2_loss(preds: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Mean of the squared weighted difference, `(w (preds - target))²`.

    Args:
        preds: (B, C, H, W).
        target: (B, C, H, W).
        weight: (B, 1, H, W) in [0, 1], or None for 1 everywhere.

    Raises:
        ValueError: shapes differ.
    """
    return _weighted_error(preds, target, weight).square().mean()


def laplacian_loss(preds: Tensor, target: Tensor, *, levels: int = 5, weight: Tensor | None = None) -> Tensor:
    """Laplacian pyramid loss, `1/n Σ_i 2^i mean|L_i(preds) - L_i(target)|` for the finest `n = levels` bands.

    The bands are those of Hou & Liu 2019 (Context-Aware Matting), averaged as in RVM and ViTMatte. Band `L_i` is a map
    less its blurred, halved and enlarged self; what is left below the coarsest band is not compared, so a constant
    error gives 0. Odd sides are halved upwards. A level is used only while the shorter side has 3 pixels or more:
    all five from 33 pixels on, two at 8.

    Args:
        preds: (B, C, H, W), sides of 3 or more.
        target: (B, C, H, W).
        levels: Bands to compare, 1 or more; fewer in small pictures.
        weight: (B, 1, H, W) in [0, 1], or None for 1 everywhere.

    Returns:
        A scalar ≥ 0, in the units of the maps.

    Raises:
        ValueError: shapes differ, `levels` is not positive, or a side is shorter than 3.
    """
    error = _weighted_error(preds, target, weight)
    if levels < 1:
        raise ValueError(f"levels: expected 1 or more, got {levels}")
    if min(error.shape[-2:]) < _SMALLEST_LEVEL:
        raise ValueError(
            f"Laplacian pyramid: expected sides of {_SMALLEST_LEVEL} or more, got {tuple(error.shape[-2:])}"
        )
    bands: list[Tensor] = []
    while len(bands) < levels and min(error.shape[-2:]) >= _SMALLEST_LEVEL:
        halved = _smooth(error, stride=2)
        spread = torch.zeros_like(error)
        spread[..., ::2, ::2] = 4 * halved
        bands.append(error - _smooth(spread))
        error = halved
    return torch.stack([2**level * band.abs().mean() for level, band in enumerate(bands)]).mean()


def gradient_loss(preds: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Sobel gradient penalty, `mean|∂x preds - ∂x target| + mean|∂y preds - ∂y target|`.

    The kernels are the integer ones, `[1, 2, 1] ⊗ [-1, 0, 1]`, as in ViTMatte: a ramp of slope 1 a pixel has gradient
    8. Borders are replicated.

    Args:
        preds: (B, C, H, W).
        target: (B, C, H, W).
        weight: (B, 1, H, W) in [0, 1], or None for 1 everywhere.

    Raises:
        ValueError: shapes differ.
    """
    error = F.pad(_weighted_error(preds, target, weight), (1, 1, 1, 1), mode="replicate")
    along_x = error[..., :, 2:] - error[..., :, :-2]
    along_y = error[..., 2:, :] - error[..., :-2, :]
    gradient_x = along_x[..., :-2, :] + 2 * along_x[..., 1:-1, :] + along_x[..., 2:, :]
    gradient_y = along_y[..., :, :-2] + 2 * along_y[..., :, 1:-1] + along_y[..., :, 2:]
    return gradient_x.abs().mean() + gradient_y.abs().mean()


def _weighted_error(preds: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    if preds.ndim != 4 or preds.shape != target.shape:
        raise ValueError(
            f"expected preds and target of one shape (B, C, H, W), got {tuple(preds.shape)} and {tuple(target.shape)}"
        )
    dtype = torch.promote_types(preds.dtype, torch.float32)
    error = preds.to(dtype) - target.to(dtype)
    if weight is None:
        return error
    expected = (preds.shape[0], 1, *preds.shape[-2:])
    if tuple(weight.shape) != expected:
        raise ValueError(f"weight: expected {expected}, got {tuple(weight.shape)}")
    return weight * error


def _masked_mean(error: Tensor, mask: Tensor) -> Tensor:
    return ((error * mask).flatten(1).sum(dim=1) / mask.flatten(1).sum(dim=1).clamp_min(1)).mean()


def _smooth(maps: Tensor, *, stride: int = 1) -> Tensor:
    """Blur (B, C, H, W) with the binomial 5×5 kernel, borders reflected, and keep every `stride`-th pixel."""
    batch, channels, height, width = maps.shape
    planes = F.pad(maps.reshape(batch * channels, 1, height, width), (2, 2, 2, 2), mode="reflect")
    kernel = maps.new_tensor(_BINOMIAL)
    with torch.autocast(device_type=maps.device.type, enabled=False):
        planes = F.conv2d(planes, kernel.view(1, 1, 5, 1), stride=(stride, 1))
        planes = F.conv2d(planes, kernel.view(1, 1, 1, 5), stride=(1, stride))
    return planes.view(batch, channels, *planes.shape[-2:])
