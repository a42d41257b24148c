"""Foreground padding (DRIP Alg. 2): colour where alpha is 0, so that no edge is left for the VAE to ring on."""

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor


def pad_foreground_push_pull(foreground: Tensor, alpha: Tensor) -> Tensor:
    """Fill where alpha is 0 from a pyramid of alpha-weighted averages (push-pull, Gortler et al. 1996).

    Unlike Alg. 2 it spreads colours, never the black that lies beside them, and reaches any distance.

    Args:
        foreground: (B, 3, H, W) in [0, 1], straight colour.
        alpha: (B, 1, H, W) in [0, 1].

    Returns:
        (B, 3, H, W) in [0, 1]: unchanged where alpha > 0; 0 throughout a sample whose alpha is 0 everywhere.
    """
    filled = _push_pull(foreground * alpha, alpha).clamp(0, 1)
    return torch.where(alpha > 0, foreground, filled)


def pad_foreground_blur(foreground: Tensor, alpha: Tensor, *, rounds: int = 64, kernel_size: int = 13) -> Tensor:
    """Fill where alpha is 0 by repeated Gaussian blur, each round written back only there (DRIP Alg. 2, as it says).

    Args:
        foreground: (B, 3, H, W) in [0, 1], straight colour; what it holds where alpha is 0 takes part in the blur.
        alpha: (B, 1, H, W) in [0, 1].
        rounds: Number of blurs.
        kernel_size: Side of the Gaussian kernel, odd; its sigma is OpenCV's for that size (2.3 for 13).

    Returns:
        (B, 3, H, W) in [0, 1]: unchanged where alpha > 0.
    """
    sigma = 0.3 * ((kernel_size - 1) * 0.5 - 1) + 0.8
    known = alpha > 0
    padded = foreground
    for _ in range(rounds):
        blurred = gaussian_blur2d(padded, (kernel_size, kernel_size), (sigma, sigma), border_type="replicate")
        padded = torch.where(known, foreground, blurred)
    return padded


def _push_pull(colour: Tensor, weight: Tensor) -> Tensor:
    """Straight colours everywhere from premultiplied `colour` of `weight` in [0, 1]."""
    height, width = weight.shape[-2:]
    if height == width == 1:
        return colour / weight.clamp_min(torch.finfo(weight.dtype).tiny)
    pooled_colour, pooled_weight = (
        F.avg_pool2d(level, 2, ceil_mode=True, divisor_override=1) for level in (colour, weight)
    )
    certainty = pooled_weight.clamp_min(1)  # a coarse pixel that saw enough colour is known
    coarse = _push_pull(pooled_colour / certainty, pooled_weight / certainty)
    coarse = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    return colour + (1 - weight) * coarse
