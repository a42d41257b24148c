"""Degradations of the foreground before it is composited: for cut-outs that are too white, too sharp or too few."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from drip_lightning.data.chance import Chance
from drip_lightning.data.degradations import ForegroundChange, ForegroundDegradation, check_probability, check_range
from drip_lightning.data.warp import lay_over
from drip_lightning.errors import InputError
from drip_lightning.ops.premultiplied import convolve, disc, line


@dataclass(frozen=True)
class Tint(ForegroundDegradation):
    """Colour for what is white: every colour is multiplied by a drawn one.

    Attributes:
        probability: Chance that it is applied.
        kinds: Foregrounds that it is for.
        saturation: Smallest and largest of the drawn colour.
        value: Smallest and largest of its largest channel.
    """

    probability: float = 0.8
    kinds: tuple[str, ...] = ("particle",)
    saturation: tuple[float, float] = (0.0, 0.9)
    value: tuple[float, float] = (0.3, 1.0)

    def __post_init__(self) -> None:
        check_probability(self)
        for name in ("saturation", "value"):
            check_range(self, name, 0, 1)

    def draw(self, chance: Chance) -> ForegroundChange:
        """Draw a hue, a saturation and a value."""
        hue = chance.uniform(0, 6)
        saturation, value = chance.uniform(*self.saturation), chance.uniform(*self.value)
        ramp = np.clip(np.minimum((np.array([5, 3, 1]) + hue) % 6, 4 - (np.array([5, 3, 1]) + hue) % 6), 0, 1)
        return partial(_tinted, colour=tuple(float(channel) for channel in value * (1 - saturation * ramp)))


@dataclass(frozen=True)
class Defocus(ForegroundDegradation):
    """A lens out of focus: a disc's blur of the premultiplied colour, for foregrounds whose edges are all sharp.

    Attributes:
        probability: Chance that it is applied.
        kinds: Foregrounds that it is for.
        radius: Smallest and largest, in parts of the crop's side.
    """

    probability: float = 0.4
    kinds: tuple[str, ...] = ("rendered",)
    radius: tuple[float, float] = (0.004, 0.025)

    def __post_init__(self) -> None:
        check_probability(self)
        check_range(self, "radius", 0, 0.1)

    def draw(self, chance: Chance) -> ForegroundChange:
        """Draw the radius."""
        return partial(_defocused, radius=chance.uniform(*self.radius))


@dataclass(frozen=True)
class MotionBlur(ForegroundDegradation):
    """A moving object: a line's blur of the premultiplied colour.

    Attributes:
        probability: Chance that it is applied.
        kinds: Foregrounds that it is for.
        length: Shortest and longest, in parts of the crop's side.
    """

    probability: float = 0.3
    kinds: tuple[str, ...] = ("rendered",)
    length: tuple[float, float] = (0.02, 0.12)

    def __post_init__(self) -> None:
        check_probability(self)
        check_range(self, "length", 0, 0.25)

    def draw(self, chance: Chance) -> ForegroundChange:
        """Draw the length and the direction."""
        return partial(_moved, length=chance.uniform(*self.length), angle=chance.uniform(0, math.pi))


@dataclass(frozen=True)
class Multiply(ForegroundDegradation):
    """Many of what is one: shifted and mirrored copies behind each other, as strands make hair.

    Attributes:
        probability: Chance that it is applied.
        kinds: Foregrounds that it is for.
        copies: Fewest and most, besides the first.
        shift: Farthest, in parts of the crop's side.
    """

    probability: float = 0.7
    kinds: tuple[str, ...] = ("hair",)
    copies: tuple[int, int] = (1, 4)
    shift: float = 0.35

    def __post_init__(self) -> None:
        check_probability(self)
        check_range(self, "copies", 1, 32)
        if not 0 <= self.shift <= 1:
            raise InputError(f"Multiply.shift: expected 0 to 1, got {self.shift}")

    def draw(self, chance: Chance) -> ForegroundChange:
        """Draw each copy's shift down, shift to the right, and whether it is mirrored."""
        copies = [
            (chance.uniform(-self.shift, self.shift), chance.uniform(-self.shift, self.shift), chance.happens(0.5))
            for _ in range(chance.integer(*self.copies))
        ]
        return partial(_multiplied, copies=copies)


def _tinted(rgba: np.ndarray, *, colour: tuple[float, ...]) -> np.ndarray:
    factors = np.array([*colour, 1.0], np.float32)[:, None, None]
    return (rgba * factors + 0.5).astype(np.uint8)


def _defocused(rgba: np.ndarray, *, radius: float) -> np.ndarray:
    return convolve(rgba, disc(radius * rgba.shape[-1]))


def _moved(rgba: np.ndarray, *, length: float, angle: float) -> np.ndarray:
    return convolve(rgba, line(length * rgba.shape[-1], angle))


def _multiplied(rgba: np.ndarray, *, copies: Sequence[tuple[float, float, bool]]) -> np.ndarray:
    result = rgba
    for down, right, mirrored in copies:
        moved = _shifted(
            rgba[..., ::-1] if mirrored else rgba, round(down * rgba.shape[1]), round(right * rgba.shape[2])
        )
        result = lay_over(result, moved)
    return result


def _shifted(rgba: np.ndarray, down: int, right: int) -> np.ndarray:
    """Move a picture (4, H, W); beyond its borders it is mirrored, so that no crop's border becomes an edge."""
    height, width = rgba.shape[1:]
    reach = ((0, 0), (abs(down), abs(down)), (abs(right), abs(right)))
    top, left = abs(down) - down, abs(right) - right
    return np.pad(rgba, reach, mode="symmetric")[:, top : top + height, left : left + width]
