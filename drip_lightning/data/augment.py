"""Augmentation: every random choice is drawn from the sample's own generator as a number, then applied.

Geometry is applied here, in the worker, crop first; colours and trimap are applied by `compose`.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from drip_lightning.errors import InputError


class Distortion(NamedTuple):
    """A photometric change, applied in this order; (0, 1, 1, 0) changes nothing."""

    brightness: float
    """Added to the colours."""
    contrast: float
    """Factor on the colours."""
    saturation: float
    """Factor on the saturation (HSV)."""
    hue: float
    """Turned by this angle, in radians."""


@dataclass(frozen=True)
class SampleChoices:
    """All that chance decides about one training sample."""

    crop_scale: float
    """Side of the foreground's crop, in output sizes."""
    crop_centre: float
    """Which of the pixels with 0 < alpha < 1 is at the centre of the crop: a place in their list, in [0, 1)."""
    flip: bool
    background_scale: float
    background_place: tuple[float, float]
    """Where the background's crop lies between top and bottom, left and right, each in [0, 1)."""
    background_flip: bool
    foreground_distortion: Distortion
    background_distortion: Distortion
    dilation: int
    erosion: int


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random choices made for each training sample (DRIP App. A.2: crop, flip, photometric, trimap).

    Attributes:
        crop_scale: Smallest and largest side of a crop, in units of the output's side; crops are resized to the output.
        flip_probability: Chance of a horizontal flip, for foreground and background apart.
        brightness: Colours are shifted by up to this much either way (pixels are in [0, 1]).
        contrast: Colours are multiplied by a factor up to this far from 1.
        saturation: Saturation is multiplied by a factor up to this far from 1.
        hue: Hue is turned by up to this many radians either way.
        trimap_dilation: Smallest and largest radius, in pixels, by which the trimap's unknown region grows outwards.
        trimap_erosion: The same for its growth into the opaque part.
    """

    crop_scale: tuple[float, float] = (0.75, 2.0)
    flip_probability: float = 0.5
    brightness: float = 0.1
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.15
    trimap_dilation: tuple[int, int] = (1, 25)
    trimap_erosion: tuple[int, int] = (1, 25)

    def __post_init__(self) -> None:
        for name, least in (("crop_scale", 1e-3), ("trimap_dilation", 0), ("trimap_erosion", 0)):
            low, high = getattr(self, name)
            if not least <= low <= high:
                raise InputError(
                    f"augmentation.{name}: expected [low, high] with {least} <= low <= high, got {low, high}"
                )
        for name, most in (
            ("flip_probability", 1),
            ("brightness", 1),
            ("contrast", 1),
            ("saturation", 1),
            ("hue", math.pi),
        ):
            if not 0 <= getattr(self, name) <= most:
                raise InputError(f"augmentation.{name}: expected 0 to {most:.3g}, got {getattr(self, name)}")

    def draw(self, generator: Generator) -> SampleChoices:
        """Draw one sample's choices; always the same numbers of draws, in the same order."""

        def uniform(low: float, high: float) -> float:
            return low + (high - low) * torch.rand((), generator=generator, dtype=torch.float64).item()

        def integer(low: int, high: int) -> int:
            return int(torch.randint(low, high + 1, (), generator=generator).item())

        def distortion() -> Distortion:
            return Distortion(
                brightness=uniform(-self.brightness, self.brightness),
                contrast=uniform(1 - self.contrast, 1 + self.contrast),
                saturation=uniform(1 - self.saturation, 1 + self.saturation),
                hue=uniform(-self.hue, self.hue),
            )

        return SampleChoices(
            crop_scale=uniform(*self.crop_scale),
            crop_centre=uniform(0, 1),
            flip=uniform(0, 1) < self.flip_probability,
            background_scale=uniform(*self.crop_scale),
            background_place=(uniform(0, 1), uniform(0, 1)),
            background_flip=uniform(0, 1) < self.flip_probability,
            foreground_distortion=distortion(),
            background_distortion=distortion(),
            dilation=integer(*self.trimap_dilation),
            erosion=integer(*self.trimap_erosion),
        )


def crop_foreground(
    foreground: Tensor, alpha: Tensor, choices: SampleChoices, *, image_size: int
) -> tuple[Tensor, Tensor]:
    """Crop around a half-transparent pixel, resize with premultiplied colour, flip.

    A crop that reaches beyond the picture finds alpha 0 there. Colours that alpha hides never bleed into others.

    Args:
        foreground: (3, H, W) uint8, straight colour.
        alpha: (1, H, W) uint8.
        choices: The sample's.
        image_size: Side of the output.

    Returns:
        Foreground (3, S, S) and alpha (1, S, S), uint8; the foreground is 0 where alpha is 0.
    """
    height, width = alpha.shape[-2:]
    side = max(1, round(choices.crop_scale * image_size))
    row, column = _centre(alpha, choices.crop_centre)
    top, left = _start(row, side, height), _start(column, side, width)
    rgba = torch.cat([foreground, alpha])
    rgba = F.pad(rgba, (-left, left + side - width, -top, top + side - height)).float()  # negative padding cuts
    cropped_alpha = rgba[3:] / 255
    resized = _resize(torch.cat([rgba[:3] * cropped_alpha, cropped_alpha]), image_size)
    resized_alpha = _to_levels(resized[3:] * 255)
    colour = _to_levels(resized[:3] / resized[3:].clamp_min(1e-6)) * (resized_alpha > 0)
    if choices.flip:
        colour, resized_alpha = colour.flip(-1), resized_alpha.flip(-1)
    return colour, resized_alpha


def crop_background(background: Tensor, choices: SampleChoices, *, image_size: int) -> Tensor:
    """Crop a square that lies within the background, resize (a small background is scaled up), flip.

    Args:
        background: (3, H, W) uint8.
        choices: The sample's.
        image_size: Side of the output.

    Returns:
        (3, S, S) uint8.
    """
    height, width = background.shape[-2:]
    side = max(1, min(round(choices.background_scale * image_size), height, width))
    top, left = (
        int(place * (size - side + 1)) for place, size in zip(choices.background_place, (height, width), strict=True)
    )
    resized = _to_levels(_resize(background[:, top : top + side, left : left + side].float(), image_size))
    return resized.flip(-1) if choices.background_flip else resized


def _centre(alpha: Tensor, place: float) -> tuple[int, int]:
    """A pixel with 0 < alpha < 1; failing that, one with alpha > 0; failing that, the middle."""
    height, width = alpha.shape[-2:]
    flat = alpha.flatten()
    for candidates in ((flat > 0) & (flat < 255), flat > 0):
        positions = candidates.nonzero()
        if len(positions):
            return divmod(int(positions[int(place * len(positions))]), width)
    return height // 2, width // 2


def _start(centre: int, side: int, size: int) -> int:
    """Where a crop around `centre` begins: within the picture, or, for a crop larger than it, all around it."""
    low, high = sorted((0, size - side))
    return min(max(centre - side // 2, low), high)


def _resize(picture: Tensor, size: int) -> Tensor:
    return F.interpolate(picture[None], size=(size, size), mode="bilinear", antialias=True, align_corners=False)[0]


def _to_levels(picture: Tensor) -> Tensor:
    return picture.round().clamp(0, 255).to(torch.uint8)
