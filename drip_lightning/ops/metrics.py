"""The field's metrics of alpha and foreground, one value an image, with the semantics of the MATLAB reference.

The reference is the evaluation code of Deep Image Matting. Values are raw: tables divide SAD, Gradient and Connectivity
by 1000 and multiply MSE by 1000. Everything is computed in single precision, as there, since thresholds depend on it.
Benchmarks set the known pixels of `preds` from the trimap before measuring; the functions here measure what they get,
and carry no autograd graph.
"""

from typing import Literal

import torch
from torch import Tensor

from drip_lightning.ops.gaussian_gradient import gradient_magnitude

Reduction = Literal["sum", "mean"]


def sad(preds: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Sum of absolute differences, `Σ_mask |preds - target|`.

    Args:
        preds: (B, 1, H, W) in [0, 1].
        target: (B, 1, H, W) in [0, 1].
        mask: (B, 1, H, W), bool: the region to measure.

    Returns:
        (B,), in pixels; 0 for an empty region.

    Raises:
        ValueError: shapes differ, or `mask` is not boolean.
    """
    return _sum_over(_difference(preds, target, mask).abs_(), mask)


def mse(preds: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error over the region.

    Args:
        preds: (B, 1, H, W) in [0, 1].
        target: (B, 1, H, W) in [0, 1].
        mask: (B, 1, H, W), bool: the region to measure.

    Returns:
        (B,) in [0, 1]; 0 for an empty region, as for the sums: nothing asked, nothing wrong. (The reference says NaN,
        which would void the mean over a data set.)

    Raises:
        ValueError: shapes differ, or `mask` is not boolean.
    """
    return _mean_over(_difference(preds, target, mask).square_(), mask)


def mad(preds: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference over the region: `sad` for each of its pixels.

    Args:
        preds: (B, 1, H, W) in [0, 1].
        target: (B, 1, H, W) in [0, 1].
        mask: (B, 1, H, W), bool: the region to measure.

    Returns:
        (B,) in [0, 1]; 0 for an empty region.

    Raises:
        ValueError: shapes differ, or `mask` is not boolean.
    """
    return _mean_over(_difference(preds, target, mask).abs_(), mask)


@torch.no_grad()
def gradient(preds: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Sum over the region of `(‖∇preds‖ - ‖∇target‖)²`.

    Each map is first stretched to [0, 1] by its own extremes in the whole image (a constant map only clipped). `∇` is
    the Gaussian derivative of σ = 1.4 on 9×9 pixels, divided by its Frobenius norm, borders replicated.

    Args:
        preds: (B, 1, H, W) in [0, 1].
        target: (B, 1, H, W) in [0, 1].
        mask: (B, 1, H, W), bool: the region to measure.

    Returns:
        (B,); 0 for an empty region.

    Raises:
        ValueError: shapes differ, or `mask` is not boolean.
    """
    check_maps(preds, target, mask)
    error = gradient_magnitude(preds.float()).sub_(gradient_magnitude(target.float()))
    return _sum_over(error.square_(), mask)


def foreground_sad(
    preds: Tensor, target: Tensor, alpha: Tensor, mask: Tensor, *, channel_reduction: Reduction = "sum"
) -> Tensor:
    """Sum over the region of `|alpha (preds - target)|`, the published "SAD αF".

    No reference code was ever published; the published sizes (FBA's 38.81 on Composition-1k) fit the sum over channels.

    Args:
        preds: (B, 3, H, W) in [0, 1], straight colour.
        target: (B, 3, H, W) in [0, 1], straight colour.
        alpha: (B, 1, H, W) in [0, 1], the true matte.
        mask: (B, 1, H, W), bool: the region to measure.
        channel_reduction: Add the three channels ("sum") or average them ("mean", a third of it).

    Returns:
        (B,), in pixels; 0 for an empty region.

    Raises:
        ValueError: shapes differ, `mask` is not boolean, or `channel_reduction` is neither.
    """
    return _sum_over(_foreground_error(preds, target, alpha, mask, channel_reduction, power=1), mask)


def foreground_mse(
    preds: Tensor, target: Tensor, alpha: Tensor, mask: Tensor, *, channel_reduction: Reduction = "sum"
) -> Tensor:
    """Mean over the region of `(alpha (preds - target))²`, the published "MSE αF".

    Args:
        preds: (B, 3, H, W) in [0, 1], straight colour.
        target: (B, 3, H, W) in [0, 1], straight colour.
        alpha: (B, 1, H, W) in [0, 1], the true matte.
        mask: (B, 1, H, W), bool: the region to measure.
        channel_reduction: Add the three channels ("sum", as `foreground_sad`) or average them ("mean").

    Returns:
        (B,); 0 for an empty region.

    Raises:
        ValueError: shapes differ, `mask` is not boolean, or `channel_reduction` is neither.
    """
    return _mean_over(_foreground_error(preds, target, alpha, mask, channel_reduction, power=2), mask)


@torch.no_grad()
def _difference(preds: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    check_maps(preds, target, mask)
    return preds.float() - target.float()


@torch.no_grad()
def _foreground_error(
    preds: Tensor, target: Tensor, alpha: Tensor, mask: Tensor, channel_reduction: Reduction, *, power: int
) -> Tensor:
    check_maps(preds, target, mask, channels=3)
    if alpha.shape != mask.shape:
        raise ValueError(f"alpha: expected {tuple(mask.shape)}, got {tuple(alpha.shape)}")
    if channel_reduction not in ("sum", "mean"):
        raise ValueError(f"channel_reduction: expected 'sum' or 'mean', got {channel_reduction!r}")
    error = (alpha.float() * (preds.float() - target.float())).abs().pow(power)
    return error.sum(dim=1, keepdim=True) if channel_reduction == "sum" else error.mean(dim=1, keepdim=True)


def _sum_over(error: Tensor, mask: Tensor) -> Tensor:
    """Sum of each image's region; overwrites `error`, since a fresh map costs the CPU more time than the sum."""
    return error.mul_(mask).sum(dim=(1, 2, 3))


def _mean_over(error: Tensor, mask: Tensor) -> Tensor:
    return _sum_over(error, mask) / mask.sum(dim=(1, 2, 3)).clamp_min(1)


def check_maps(preds: Tensor, target: Tensor, mask: Tensor, *, channels: int = 1) -> None:
    """Raise ValueError unless the maps are (B, channels, H, W) alike and `mask` is bool of (B, 1, H, W)."""
    if preds.ndim != 4 or preds.shape[1] != channels or preds.shape != target.shape:
        raise ValueError(
            f"expected preds and target of one shape (B, {channels}, H, W), "
            f"got {tuple(preds.shape)} and {tuple(target.shape)}"
        )
    expected = (preds.shape[0], 1, *preds.shape[-2:])
    if tuple(mask.shape) != expected or mask.dtype != torch.bool:
        raise ValueError(f"mask: expected bool of shape {expected}, got {mask.dtype} of shape {tuple(mask.shape)}")
