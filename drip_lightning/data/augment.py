"""Augmentation: all ranges in one place, and every random choice drawn from a named stream of the sample's own."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from drip_lightning.choices import Replaceable
from drip_lightning.data.chance import Chance
from drip_lightning.data.degradations import (
    Degradation,
    ForegroundChange,
    ForegroundDegradation,
    ImageChange,
    ImageDegradation,
    named,
)
from drip_lightning.data.placement import Placement
from drip_lightning.errors import InputError
from drip_lightning.ops.colour import chain, colour_matrix
from drip_lightning.ops.trimap import StructuringElement


def _check_fraction(name: str, value: float, most: float = 1) -> None:
    if not 0 <= value <= most:
        raise InputError(f"{name}: expected 0 to {most:.3g}, got {value}")


def _check_range(name: str, value: tuple[float, float], least: float, most: float) -> None:
    low, high = value
    if not least <= low <= high <= most:
        raise InputError(f"{name}: expected [low, high] with {least} <= low <= high <= {most}, got {low, high}")


@dataclass(frozen=True)
class SampleChoices:
    """All that chance decides about one training sample, given its pictures."""

    foreground: Placement
    second_foreground: float | None
    """Which recent foreground is laid behind the first one, in [0, 1); None for none."""
    second_placement: Placement
    background: Placement
    foreground_colours: np.ndarray
    """(3, 4), the affine map of `ops.colour`."""
    background_colours: np.ndarray
    dilation: int
    erosion: int
    linear_light: bool
    image_changes: tuple[ImageChange, ...]
    """What degrades the composite, in order."""


@dataclass(frozen=True)
class ColourJitter:
    """Ranges of a photometric distortion; zeros for none.

    Attributes:
        brightness: Colours are shifted by up to this much either way (pixels are in [0, 1]).
        contrast: The distance from mid-grey is multiplied by a factor up to this far from 1.
        saturation: The distance from grey is multiplied by a factor up to this far from 1.
        hue: Hue is rotated by up to this many radians either way.
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
class Augmentation(Replaceable):
    """Ranges of the random choices made for each training sample, after what strong matting trainers do.

    Attributes:
        crop_scale: Smallest and largest side of a crop, in units of the output's side. A foreground's crop is centred
            on one of its half-transparent pixels, and resized to the output.
        rotation: Foregrounds are rotated by up to this many degrees either way.
        shear: Foregrounds are sheared by up to this many degrees either way.
        stretch: Foregrounds' width to height is changed by a factor of up to 1 + this, either way.
        flip_probability: Chance of a horizontal flip, for each picture apart.
        second_foreground_probability: Chance that another foreground is laid behind the first one, so that
            alpha = 1 - (1 - a1) (1 - a2).
        foreground_jitter: Distortion of the foreground's colours alone.
        background_jitter: Distortion of the background's colours alone.
        joint_jitter: Distortion of both together, after their own.
        linear_light_probability: Chance that the composite is made in linear light (sRGB decoded), as lenses do,
            rather than on the 8-bit values, as DRIP Eq. 1 and its benchmarks do.
        trimap_dilation: Smallest and largest radius, in pixels, by which the trimap's unknown region grows outwards.
        trimap_erosion: The same for its growth into the opaque part.
        trimap_structuring_element: Squares (dilation, erosion), or discs (Euclidean distance).
        degradations: What may be done to the foreground and to the finished composite, in this order.
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
    trimap_structuring_element: StructuringElement = "square"
    degradations: tuple[Degradation, ...] = ()

    def __post_init__(self) -> None:
        _check_range("augmentation.crop_scale", self.crop_scale, 1e-3, math.inf)
        _check_range("augmentation.trimap_dilation", self.trimap_dilation, 0, 1 << 12)
        _check_range("augmentation.trimap_erosion", self.trimap_erosion, 0, 1 << 12)
        bounds = (("rotation", 180), ("shear", 60), ("stretch", 4))
        chances = ("flip_probability", "second_foreground_probability", "linear_light_probability")
        for name, most in (*bounds, *((name, 1) for name in chances)):
            _check_fraction(f"augmentation.{name}", getattr(self, name), most)

    def draw(self, seed: int, number: int) -> SampleChoices:
        """Draw one sample's choices, each from a stream of its own.

        Args:
            seed: The run's.
            number: The sample's.
        """

        def stream(name: str) -> Chance:
            return Chance(seed, number, f"augmentation: {name}")

        joint = self.joint_jitter.draw(stream("joint colours").uniform)
        dilation, erosion = draw_radii(self.trimap_dilation, self.trimap_erosion, seed, number)
        second = stream("second foreground")
        has_second, which = second.happens(self.second_foreground_probability), second.uniform(0, 1)
        return SampleChoices(
            foreground=self._place(stream("foreground's placement"), warped=True),
            second_foreground=which if has_second else None,
            second_placement=self._place(second, warped=True),
            background=self._place(stream("background's placement"), warped=False),
            foreground_colours=chain(joint, self.foreground_jitter.draw(stream("foreground's colours").uniform)),
            background_colours=chain(joint, self.background_jitter.draw(stream("background's colours").uniform)),
            dilation=dilation,
            erosion=erosion,
            linear_light=stream("linear light").happens(self.linear_light_probability),
            image_changes=tuple(
                degradation.draw(chance)
                for name, degradation in named(self.degradations)
                if isinstance(degradation, ImageDegradation)
                and (chance := stream(name)).happens(degradation.probability)
            ),
        )

    @property
    def asks_for_kinds(self) -> bool:
        """Whether `foreground_changes` depends on the foreground's kind."""
        return any(isinstance(one, ForegroundDegradation) and one.kinds for one in self.degradations)

    def foreground_changes(self, seed: int, number: int, *, kind: str, which: str) -> list[ForegroundChange]:
        """Draw what is done to one of a sample's foregrounds.

        Args:
            seed: The run's.
            number: The sample's.
            kind: The foreground's, as its JSON says.
            which: Tells the sample's foregrounds apart.
        """
        return [
            degradation.draw(chance)
            for name, degradation in named(self.degradations)
            if isinstance(degradation, ForegroundDegradation)
            and (not degradation.kinds or kind in degradation.kinds)
            and (chance := Chance(seed, number, f"augmentation: {name} of {which}")).happens(degradation.probability)
        ]

    def _place(self, chance: Chance, *, warped: bool) -> Placement:
        rotation, shear = (chance.uniform(-most, most) for most in (self.rotation, self.shear))
        stretch = (1 + self.stretch) ** chance.uniform(-1, 1)
        return Placement(
            scale=chance.uniform(*self.crop_scale),
            place=(chance.uniform(0, 1), chance.uniform(0, 1)),
            rotation=rotation if warped else 0.0,
            shear=shear if warped else 0.0,
            stretch=stretch if warped else 1.0,
            flip=chance.happens(self.flip_probability),
        )


def draw_radii(dilation: tuple[int, int], erosion: tuple[int, int], seed: int, number: int) -> tuple[int, int]:
    """Draw a trimap's radii, outwards and inwards, from ranges whose ends are included; a sample's are always the same.

    Args:
        dilation: Smallest and largest, in pixels.
        erosion: The same.
        seed: The run's.
        number: The sample's.
    """
    chance = Chance(seed, number, "augmentation: trimap")
    return chance.integer(*dilation), chance.integer(*erosion)
