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
    noise = _gaussian(shape, strength, generator)
    _, height, width = shape
    for level in range(MAX_LEVELS):
        ratio = _ratio(generator)
        level_size = max(1, int(height / ratio**level)), max(1, int(width / ratio**level))
        noise = noise + strength * discount**level * _coarse(shape, level_size, generator, upsampling)
        if level_size == (1, 1):
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
    noise = _gaussian(shape, strength, generator)
    level_size = shape[1:]
    for level in range(MAX_LEVELS):
        ratio = _ratio(generator)
        level_size = max(1, int(level_size[0] / ratio**level)), max(1, int(level_size[1] / ratio**level))
        noise = noise + (discount * strength) ** level * _coarse(shape, level_size, generator, "bilinear")
        if 1 in level_size:
            break
    return noise / noise.std()


def _gaussian(shape: tuple[int, int, int], strength: float, generator: torch.Generator) -> Tensor:
    if not 0 <= strength <= 1:
        raise ValueError(f"strength: expected t/T in [0, 1], got {strength}")
    return torch.randn(shape, generator=generator, device=generator.device)


def _ratio(generator: torch.Generator) -> float:
    """By whose powers sizes shrink."""
    return 2 + 2 * torch.rand((), generator=generator, device=generator.device).item()


def _coarse(
    shape: tuple[int, int, int], size: tuple[int, int], generator: torch.Generator, upsampling: Upsampling
) -> Tensor:
    """Gaussian noise of a smaller size, brought up to `shape`."""
    coarse = torch.randn((1, shape[0], *size), generator=generator, device=generator.device)
    align_corners = False if upsampling == "bilinear" else None
    return F.interpolate(coarse, size=shape[1:], mode=upsampling, align_corners=align_corners)[0]
