"""Hints as a choice: which classical guesses a network is given beside image and trimap."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from drip_lightning.ops.hints.colours import propagated_colours, sampled_colours

CHANNELS = 3 + 3 + 1
"""Of one guess: foreground, background, alpha."""

Guess = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""From image (B, 3, H, W) and trimap (B, 1, H, W) to foreground, background and alpha."""


class Hints(ABC):
    """Guesses of foreground, background and alpha, computed from image and trimap alone, in 8-bit values.

    8-bit, so that a data worker that sends them as bytes and the pipeline that computes them give a network the same
    numbers.
    """

    @property
    @abstractmethod
    def guesses(self) -> tuple[Guess, ...]:
        """What is guessed, the best first: the decoder starts from that."""

    bytes_per_pixel: ClassVar[int] = 250
    """Of memory that computing them takes at most, about, beside what they are."""
    packages: ClassVar[tuple[str, ...]] = ("numba",)
    """What computing them takes beside NumPy and torch."""

    @property
    def channels(self) -> int:
        """Channels of `as_uint8`."""
        return CHANNELS * len(self.guesses)

    def as_uint8(self, image: Tensor, trimap: Tensor) -> Tensor:
        """Compute the guesses.

        Args:
            image: (B, 3, H, W) in [0, 1].
            trimap: (B, 1, H, W), 0, 0.5 or 1.

        Returns:
            (B, channels, H, W) uint8: of each guess foreground, background and alpha.
        """
        maps = [one for guess in self.guesses for one in guess(image, trimap)]
        if not maps:
            return torch.empty(len(image), 0, *image.shape[-2:], dtype=torch.uint8, device=image.device)
        return (torch.cat(maps, dim=1) * 255).round().to(torch.uint8)

    def __call__(self, image: Tensor, trimap: Tensor) -> Tensor:
        """Compute the guesses as float32 in [0, 1]."""
        return self.as_uint8(image, trimap) / 255

    def foreground(self, image: Tensor, alpha: Tensor, answered: Tensor) -> Tensor:
        """What is made of the foreground (B, 3, H, W) that was answered, with this alpha, to these hints: itself."""
        return answered


@dataclass(frozen=True)
class NoHints(Hints):
    """The paper's way: the networks see image and trimap."""

    packages = ()

    @property
    def guesses(self) -> tuple[Guess, ...]:
        """Nothing is guessed."""
        return ()


@dataclass(frozen=True)
class PropagatedColours(Hints):
    """Colours of the sure regions, spread by push-pull."""

    @property
    def guesses(self) -> tuple[Guess, ...]:
        """`propagated_colours`."""
        return (propagated_colours,)


@dataclass(frozen=True)
class SampledColours(Hints):
    """The best pair of sure colours met along rays."""

    @property
    def guesses(self) -> tuple[Guess, ...]:
        """`sampled_colours`."""
        return (sampled_colours,)


@dataclass(frozen=True)
class SampledAndPropagatedColours(Hints):
    """The two together."""

    @property
    def guesses(self) -> tuple[Guess, ...]:
        """The sampled pair first: it is nearer to the truth."""
        return (sampled_colours, propagated_colours)


@dataclass(frozen=True)
class ClosedFormAndColours(Hints):
    """Closed-form matting with multilevel colours first, then both of the others: slowest and nearest to the truth.

    Attributes:
        average_foreground: Whether the answered foreground is averaged with the one that multilevel estimation makes of
            the answered alpha: two estimates with errors of their own.
    """

    average_foreground: bool = False

    bytes_per_pixel = 2000  # a sparse matrix of 25 entries a pixel, its parts and its factor
    packages = ("numba", "pymatting")

    @property
    def guesses(self) -> tuple[Guess, ...]:
        """The three, the best first."""
        from drip_lightning.ops.hints.closed_form import closed_form_colours  # PyMatting takes a second to import

        return (closed_form_colours, sampled_colours, propagated_colours)

    def foreground(self, image: Tensor, alpha: Tensor, answered: Tensor) -> Tensor:
        """The mean of it and of `multilevel_foreground`, if `average_foreground` says so."""
        if not self.average_foreground:
            return answered
        from drip_lightning.ops.hints.closed_form import multilevel_foreground

        return (answered + multilevel_foreground(image, alpha)) / 2
