"""Augmentation: all ranges in one place, and every random choice drawn from the sample's own generator as a number."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator

from drip_lightning.errors import InputError
from drip_lightning.ops.colour import chain, colour_matrix
from drip_lightning.ops.trimap import Neighbourhood

_DRAWS = 64
"""Random numbers made for each sample, used or not, in a fixed order."""


def _check_fraction(name: str, value: float, most: float = 1) -> None:
    if not 0 <= value <= most:
        raise InputError(f"{name}: expected 0 to {most:.3g}, got {value}")


def _check_range(name: str, value: tuple[float, float], least: float, most: float) -> None:
    low, high = value
    if not least <= low <= high <= most:
        raise InputError(f"{name}: expected [low, high] with {least} <= low <= high <= {most}, got {low, high}")


class Placement(NamedTuple):
    """Where a crop is taken from a picture, and how it is turned."""

    scale: float
    """Side of the crop, in output sizes."""
    place: tuple[float, float]
    """Of a foreground, which unknown pixel is in the middle: (place in their list, unused); of a background, where the
    crop lies between top and bottom, left and right. In [0, 1)."""
    rotation: float
    """In degrees, clockwise."""
    shear: float
    """In degrees, along the rows."""
    stretch: float
    """Width over height of a pixel."""
    flip: bool


class Spoiling(NamedTuple):
    """How a composite is degraded; 0 leaves a step out."""

    blur: float
    """Sigma of a Gaussian, in pixels."""
    shrink: float
    """Factor by which the picture is reduced before it is enlarged again."""
    noise: float
    """Standard deviation, in levels of 255."""
    noise_seed: int
    jpeg: int
    """Quality."""


@dataclass(frozen=True)
class SampleChoices:
    """All that chance decides about one training sample, given its pictures."""

    foreground: Placement
    partner: float | None
    """Which recent foreground is laid behind the first one, in [0, 1); None for none."""
    partner_placement: Placement
    background: Placement
    foreground_colours: np.ndarray
    """(3, 4), the affine map of `ops.colour`."""
    background_colours: np.ndarray
    dilation: int
    erosion: int
    linear_light: bool
    spoiling: Spoiling


@dataclass(frozen=True)
class ColourJitter:
    """Ranges of a photometric distortion; zeros for none.

    Attributes:
        brightness: Colours are shifted by up to this much either way (pixels are in [0, 1]).
        contrast: The distance from mid-grey is multiplied by a factor up to this far from 1.
        saturation: The distance from grey is multiplied by a factor up to this far from 1.
        hue: Hue is turned by up to this many radians either way.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        for name, most in (("brightness", 1), ("contrast", 1), ("saturation", 1), ("hue", math.pi)):
            _check_fraction(f"jitter's {name}", getattr(self, name), most)

    def draw(self, uniform: Callable[[float, float], float]) -> np.ndarray:
        """One colour map (3, 4)."""
        return colour_matrix(
            brightness=uniform(-self.brightness, self.brightness),
            contrast=uniform(1 - self.contrast, 1 + self.contrast),
            saturation=uniform(1 - self.saturation, 1 + self.saturation),
            hue=uniform(-self.hue, self.hue),
        )


@dataclass(frozen=True)
class Degradation:
    """What is done to the finished composite alone, in this order, so that models hold on real photographs.

    Where any of it is applied, the image is no longer exactly the composite of its foreground and background.

    Attributes:
        probability: Chance that a sample is degraded at all; 0 for never.
        blur_probability: Chance of a Gaussian blur.
        blur: Smallest and largest sigma, in pixels.
        shrink_probability: Chance of reducing the picture and enlarging it again.
        shrink: Smallest and largest factor of the reduction.
        noise_probability: Chance of noise on every value.
        noise: Smallest and largest standard deviation, in levels of 255.
        jpeg_probability: Chance of JPEG's artefacts.
        jpeg: Smallest and largest quality, 1 to 100.
    """

    probability: float = 0.5
    blur_probability: float = 0.2
    blur: tuple[float, float] = (0.3, 1.5)
    shrink_probability: float = 0.2
    shrink: tuple[float, float] = (0.4, 0.9)
    noise_probability: float = 0.4
    noise: tuple[float, float] = (1.0, 8.0)
    jpeg_probability: float = 0.6
    jpeg: tuple[int, int] = (50, 95)

    def __post_init__(self) -> None:
        for name in ("probability", "blur_probability", "shrink_probability", "noise_probability", "jpeg_probability"):
            _check_fraction(f"degradation.{name}", getattr(self, name))
        bounds = (("blur", 0.05, 20), ("shrink", 0.05, 1), ("noise", 0, 255), ("jpeg", 1, 100))
        for name, least, most in bounds:
            _check_range(f"degradation.{name}", getattr(self, name), least, most)

    def draw(self, uniform: Callable[[float, float], float]) -> Spoiling:
        """One composite's degradation."""
        degraded = uniform(0, 1) < self.probability

        def chosen(probability: float, value: float) -> float:
            return value if (uniform(0, 1) < probability) and degraded else 0.0

        return Spoiling(
            blur=chosen(self.blur_probability, uniform(*self.blur)),
            shrink=chosen(self.shrink_probability, uniform(*self.shrink)),
            noise=chosen(self.noise_probability, uniform(*self.noise)),
            noise_seed=int(uniform(0, 1 << 32)),
            jpeg=int(chosen(self.jpeg_probability, int(uniform(self.jpeg[0], self.jpeg[1] + 1)))),
        )


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random choices made for each training sample, after what strong matting trainers do.

    Attributes:
        crop_scale: Smallest and largest side of a crop, in units of the output's side. A foreground's crop is centred
            on one of its half-transparent pixels, and resized to the output.
        rotation: Foregrounds are turned by up to this many degrees either way.
        shear: Foregrounds are sheared by up to this many degrees either way.
        stretch: Foregrounds' width to height is changed by a factor of up to 1 + this, either way.
        flip_probability: Chance of a horizontal flip, for each picture apart.
        second_foreground_probability: Chance that another foreground is laid behind the first one, so that
            alpha = 1 - (1 - a1) (1 - a2).
        foreground_jitter: Distortion of the foreground's colours alone.
        background_jitter: Distortion of the background's colours alone.
        joint_jitter: Distortion of both together, after their own.
        linear_light_probability: Chance that the composite is made in linear light (sRGB decoded), as lenses do,
            rather than on the levels, as DRIP Eq. 1 and its benchmarks do.
        trimap_dilation: Smallest and largest radius, in pixels, by which the trimap's unknown region grows outwards.
        trimap_erosion: The same for its growth into the opaque part.
        trimap_neighbourhood: Squares (dilation, erosion), or discs (Euclidean distance).
        degradation: What is done to the finished composite.
    """

    crop_scale: tuple[float, float] = (0.75, 2.0)
    rotation: float = 15.0
    shear: float = 5.0
    stretch: float = 0.1
    flip_probability: float = 0.5
    second_foreground_probability: float = 0.3
    foreground_jitter: ColourJitter = ColourJitter(brightness=0.1, contrast=0.2, saturation=0.2, hue=0.15)
    background_jitter: ColourJitter = ColourJitter(brightness=0.1, contrast=0.2, saturation=0.2, hue=0.15)
    joint_jitter: ColourJitter = ColourJitter(brightness=0.05, contrast=0.1, saturation=0.1)
    linear_light_probability: float = 0.0
    trimap_dilation: tuple[int, int] = (1, 25)
    trimap_erosion: tuple[int, int] = (1, 25)
    trimap_neighbourhood: Neighbourhood = "square"
    degradation: Degradation = Degradation()

    def __post_init__(self) -> None:
        _check_range("augmentation.crop_scale", self.crop_scale, 1e-3, math.inf)
        _check_range("augmentation.trimap_dilation", self.trimap_dilation, 0, 1 << 12)
        _check_range("augmentation.trimap_erosion", self.trimap_erosion, 0, 1 << 12)
        bounds = (("rotation", 180), ("shear", 60), ("stretch", 4))
        chances = ("flip_probability", "second_foreground_probability", "linear_light_probability")
        for name, most in (*bounds, *((name, 1) for name in chances)):
            _check_fraction(f"augmentation.{name}", getattr(self, name), most)

    def draw(self, generator: Generator) -> SampleChoices:
        """Draw one sample's choices; the order of the draws never depends on the ranges."""
        numbers: Iterator[float] = iter(torch.rand(_DRAWS, generator=generator, dtype=torch.float64).tolist())

        def uniform(low: float, high: float) -> float:
            return low + (high - low) * next(numbers)

        def integer(low: int, high: int) -> int:
            return int(uniform(low, high + 1))

        foreground, partner = self._place(uniform, warped=True), self._place(uniform, warped=True)
        background = self._place(uniform, warped=False)
        joint = self.joint_jitter.draw(uniform)
        has_partner, which = uniform(0, 1) < self.second_foreground_probability, uniform(0, 1)
        return SampleChoices(
            foreground=foreground,
            partner=which if has_partner else None,
            partner_placement=partner,
            background=background,
            foreground_colours=chain(joint, self.foreground_jitter.draw(uniform)),
            background_colours=chain(joint, self.background_jitter.draw(uniform)),
            dilation=integer(*self.trimap_dilation),
            erosion=integer(*self.trimap_erosion),
            linear_light=uniform(0, 1) < self.linear_light_probability,
            spoiling=self.degradation.draw(uniform),
        )

    def _place(self, uniform: Callable[[float, float], float], *, warped: bool) -> Placement:
        rotation, shear = uniform(-self.rotation, self.rotation), uniform(-self.shear, self.shear)
        stretch = (1 + self.stretch) ** uniform(-1, 1)
        return Placement(
            scale=uniform(*self.crop_scale),
            place=(uniform(0, 1), uniform(0, 1)),
            rotation=rotation if warped else 0.0,
            shear=shear if warped else 0.0,
            stretch=stretch if warped else 1.0,
            flip=uniform(0, 1) < self.flip_probability,
        )
