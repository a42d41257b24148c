"""Noise of several resolutions, annealed with the timestep (DRIP Sec. 3.2.3, App. A.1, Alg. 1)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_LEVELS = 10

Upsampling = Literal["nearest", "bilinear"]


def multi_resolution_noise(
    shape: tuple[int, int, int],
    *,
    strength: float,
    generator: torch.Generator,
    discount: float = 0.9,
    upsampling: Upsampling = "nearest",
    normalise: bool = True,
) -> Tensor:
    """Draw one sample's noise: Gaussian at full size plus ever coarser Gaussians (DRIP Alg. 1).

    Level i = 0, 1, … adds Gaussian noise of `max(1, floor(size / r^i))` pixels, brought up to full size, times
    `strength * discount**i`, with `r = 2 + 2 * rand()` drawn anew for each level; at most ten levels, the last the
    first of 1×1. The sum is divided by its standard deviation.

    Args:
        shape: (C, H, W) of the latent.
        strength: t / T in [0, 1]; at 0 the coarse part vanishes and the result is plain Gaussian noise.
        generator: Source of every random number drawn here.
        discount: Weight ratio of successive levels, in (0, 1]. The paper leaves it open; 0.9 after earlier open work.
        upsampling: How coarse levels are brought up to full size; Alg. 1 has "nearest".
        normalise: Divide by the sample's own standard deviation; false leaves that to the caller.

    Returns:
        (C, H, W) float32 on the generator's device, with standard deviation 1 if it is normalised.

    Raises:
        ValueError: if `strength` is outside [0, 1].
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength: expected t/T in [0, 1], got {strength}")
    channels, height, width = shape
    device = generator.device
    noise = torch.randn(shape, generator=generator, device=device)
    for level in range(MAX_LEVELS):
        ratio = 2 + 2 * torch.rand((), generator=generator, device=device).item()
        level_height, level_width = max(1, int(height / ratio**level)), max(1, int(width / ratio**level))
        coarse = torch.randn((1, channels, level_height, level_width), generator=generator, device=device)
        align_corners = False if upsampling == "bilinear" else None
        full = F.interpolate(coarse, size=(height, width), mode=upsampling, align_corners=align_corners)[0]
        noise = noise + strength * discount**level * full
        if level_height == level_width == 1:
            break
    return noise / noise.std() if normalise else noise


def marigold_noise(
    shape: tuple[int, int, int], *, strength: float, generator: torch.Generator, discount: float = 0.9
) -> Tensor:
    """Draw one sample's noise as Marigold's published code does (Ke et al. 2024), from which Alg. 1 differs.

    Sizes shrink from level to level, by `r^i` of the level before; the last level is the first with a side of one
    pixel, at most the tenth; level i weighs `(discount * strength)**i`; coarse levels are brought up bilinearly.

    Args:
        shape: (C, H, W) of the latent.
        strength: t / T in [0, 1].
        generator: Source of every random number drawn here.
        discount: Marigold's "strength".

    Returns:
        (C, H, W) float32 on the generator's device, with standard deviation 1.

    Raises:
        ValueError: if `strength` is outside [0, 1].
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength: expected t/T in [0, 1], got {strength}")
    channels, height, width = shape
    device = generator.device
    noise = torch.randn(shape, generator=generator, device=device)
    level_height, level_width = height, width
    for level in range(MAX_LEVELS):
        ratio = 2 + 2 * torch.rand((), generator=generator, device=device).item()
        level_height, level_width = (max(1, int(side / ratio**level)) for side in (level_height, level_width))
        coarse = torch.randn((1, channels, level_height, level_width), generator=generator, device=device)
        full = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)[0]
        noise = noise + (discount * strength) ** level * full
        if level_height == 1 or level_width == 1:
            break
    return noise / noise.std()
