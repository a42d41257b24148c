"""What may happen to a training sample so that models hold on real photographs: small classes, listed by configuration.

Each draws from a stream of its own, named after its class, so adding one to the list shifts no other's draws.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import Tensor

from drip_lightning.data.chance import Chance
from drip_lightning.errors import InputError
from drip_lightning.ops.degrade import add_noise, blur_taps, filter_picture, shrink_taps
from drip_lightning.ops.jpeg import jpeg_artefacts

ImageChange = Callable[[Tensor], Tensor]
"""Of a picture (3, H, W) uint8 on any device, without chance; it can be sent to another process."""
ForegroundChange = Callable[[np.ndarray], np.ndarray]
"""Of a cropped foreground (4, H, W) uint8, straight colour and alpha."""


class ImageDegradation(ABC):
    """Something done to the finished composite alone, which then no longer is `aF + (1 - a)B` exactly."""

    probability: float
    """Chance that it is applied to a sample."""

    @abstractmethod
    def draw(self, chance: Chance) -> ImageChange:
        """Draw how it is applied."""


class ForegroundDegradation(ABC):
    """Something done to the cropped foreground, colour and alpha, before it is composited."""

    probability: float
    kinds: tuple[str, ...]
    """Foregrounds that it is for, by the `kind` in their JSON; all if empty."""

    @abstractmethod
    def draw(self, chance: Chance) -> ForegroundChange:
        """Draw how it is applied."""


Degradation = ImageDegradation | ForegroundDegradation


def named(degradations: Sequence[Degradation]) -> list[tuple[str, Degradation]]:
    """Each with the name of its stream: its class's, and for the second of a class `… 2`."""
    seen = Counter[str]()
    names = []
    for degradation in degradations:
        name = type(degradation).__name__
        seen[name] += 1
        names.append((name if seen[name] == 1 else f"{name} {seen[name]}", degradation))
    return names


@dataclass(frozen=True)
class Blur(ImageDegradation):
    """Gaussian blur.

    Attributes:
        probability: Chance that it is applied.
        sigma: Smallest and largest, in pixels.
    """

    probability: float = 0.1
    sigma: tuple[float, float] = (0.3, 1.5)

    def __post_init__(self) -> None:
        check_probability(self)
        check_range(self, "sigma", 0.05, 20)

    def draw(self, chance: Chance) -> ImageChange:
        """Draw sigma."""
        return partial(_filtered, taps=blur_taps, amount=chance.uniform(*self.sigma))


@dataclass(frozen=True)
class Shrink(ImageDegradation):
    """Reduction and enlargement.

    Attributes:
        probability: Chance that it is applied.
        factor: Smallest and largest factor of the reduction.
    """

    probability: float = 0.1
    factor: tuple[float, float] = (0.4, 0.9)

    def __post_init__(self) -> None:
        check_probability(self)
        check_range(self, "factor", 0.05, 1)

    def draw(self, chance: Chance) -> ImageChange:
        """Draw the factor."""
        return partial(_filtered, taps=shrink_taps, amount=chance.uniform(*self.factor))


@dataclass(frozen=True)
class Noise(ImageDegradation):
    """Noise on every value.

    Attributes:
        probability: Chance that it is applied.
        deviation: Smallest and largest standard deviation, in units of 1/255.
    """

    probability: float = 0.2
    deviation: tuple[float, float] = (1.0, 8.0)

    def __post_init__(self) -> None:
        check_probability(self)
        check_range(self, "deviation", 0, 255)

    def draw(self, chance: Chance) -> ImageChange:
        """Draw the deviation and the noise's seed."""
        return partial(add_noise, deviation=chance.uniform(*self.deviation), seed=int(chance.uniform(0, 1 << 32)))


@dataclass(frozen=True)
class Jpeg(ImageDegradation):
    """JPEG's artefacts.

    Attributes:
        probability: Chance that it is applied.
        quality: Smallest and largest, 1 to 100.
    """

    probability: float = 0.3
    quality: tuple[int, int] = (50, 95)

    def __post_init__(self) -> None:
        check_probability(self)
        check_range(self, "quality", 1, 100)

    def draw(self, chance: Chance) -> ImageChange:
        """Draw the quality."""
        return partial(jpeg_artefacts, quality=chance.integer(*self.quality))


def check_probability(degradation: Degradation) -> None:
    """Refuse a probability beyond 0 and 1."""
    if not 0 <= degradation.probability <= 1:
        raise InputError(f"{type(degradation).__name__}.probability: expected 0 to 1, got {degradation.probability}")


def check_range(degradation: Degradation, name: str, least: float, most: float) -> None:
    """Refuse a range (low, high) that does not rise within [least, most]."""
    low, high = getattr(degradation, name)
    if not least <= low <= high <= most:
        whose = f"{type(degradation).__name__}.{name}"
        raise InputError(f"{whose}: expected [low, high] with {least} <= low <= high <= {most}, got {low, high}")


def _filtered(image: Tensor, *, taps: Callable[[int, float], tuple[np.ndarray, np.ndarray]], amount: float) -> Tensor:
    rows, columns = (taps(size, amount) for size in image.shape[-2:])
    return filter_picture(image, rows, columns)
