"""What the latents are noised with: one class a choice, so that an ablation swaps a `class_path`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from drip_lightning.ops.domains import split_domains, stack_domains
from drip_lightning.ops.noise import Upsampling, marigold_noise, multi_resolution_noise


class NoiseSampler(ABC):
    """Draws the noise of a batch, each sample from its own generator, so that batches do not matter."""

    @abstractmethod
    def draw(self, shape: tuple[int, int, int], *, strength: float, generator: torch.Generator) -> Tensor:
        """Draw one sample's noise.

        Args:
            shape: (C, h, w) of the latent.
            strength: t / T of the sample's timestep, in [0, 1].
            generator: Source of every random number.

        Returns:
            (C, h, w) float32 with standard deviation about 1 (but for `ZeroNoise`), on the generator's device.
        """

    def draw_pairs(
        self, shape: tuple[int, int, int], *, strengths: Sequence[float], generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Draw a batch for both domains, independent of each other (DRIP Sec. 3.2): (2B, C, h, w), domains stacked.

        Args:
            shape: (C, h, w) of one latent.
            strengths: t / T of each of the B pairs.
            generators: One for each pair; the foreground's noise is drawn first, then the alpha's.
        """
        pairs = [
            [self.draw(shape, strength=strength, generator=generator) for _ in range(2)]
            for strength, generator in zip(strengths, generators, strict=True)
        ]
        foreground, alpha = zip(*pairs, strict=True)
        return stack_domains(torch.stack(foreground), torch.stack(alpha))


@dataclass(frozen=True)
class MultiResolutionNoise(NoiseSampler):
    """Gaussian noise of several resolutions, equally coarse at every timestep: Alg. 1 without its annealing.

    Attributes:
        discount: Weight ratio of successive levels.
        upsampling: How coarse levels are brought up to full size.
        deviation: Whether a `sample` is divided by its own standard deviation, or each domain's whole `batch` by one;
            a batch-wide one couples the samples, so that a result depends on its batch.
    """

    discount: float = 0.9
    upsampling: Upsampling = "nearest"
    deviation: Literal["sample", "batch"] = "sample"

    def draw(self, shape: tuple[int, int, int], *, strength: float, generator: torch.Generator) -> Tensor:
        """Draw one sample at full `strength`; with a batch-wide deviation it is not yet divided by any."""
        return self._draw(shape, strength=1.0, generator=generator)

    def _draw(self, shape: tuple[int, int, int], *, strength: float, generator: torch.Generator) -> Tensor:
        return multi_resolution_noise(
            shape,
            strength=strength,
            generator=generator,
            discount=self.discount,
            upsampling=self.upsampling,
            normalise=self.deviation == "sample",
        )

    def draw_pairs(
        self, shape: tuple[int, int, int], *, strengths: Sequence[float], generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Draw a batch for both domains; see `NoiseSampler.draw_pairs`."""
        noise = super().draw_pairs(shape, strengths=strengths, generators=generators)
        if self.deviation == "sample":
            return noise
        foreground, alpha = split_domains(noise)
        return stack_domains(foreground / foreground.std(), alpha / alpha.std())


@dataclass(frozen=True)
class AnnealedMultiResolutionNoise(MultiResolutionNoise):
    """Gaussian noise of several resolutions whose coarse levels vanish as t → 0: the paper's choice (DRIP Alg. 1).

    Attributes:
        discount: Weight ratio of successive levels.
        upsampling: How coarse levels are brought up to full size.
        deviation: As in `MultiResolutionNoise`.
    """

    def draw(self, shape: tuple[int, int, int], *, strength: float, generator: torch.Generator) -> Tensor:
        """Draw one sample; see `drip_lightning.ops.noise.multi_resolution_noise`."""
        return self._draw(shape, strength=strength, generator=generator)


@dataclass(frozen=True)
class MarigoldNoise(NoiseSampler):
    """Annealed noise of several resolutions with the pyramid of Marigold's published code, which Alg. 1 is not.

    Attributes:
        discount: What level i is weighed by is (discount · t / T)^i.
    """

    discount: float = 0.9

    def draw(self, shape: tuple[int, int, int], *, strength: float, generator: torch.Generator) -> Tensor:
        """Draw one sample; see `drip_lightning.ops.noise.marigold_noise`."""
        return marigold_noise(shape, strength=strength, generator=generator, discount=self.discount)


@dataclass(frozen=True)
class GaussianNoise(NoiseSampler):
    """Plain Gaussian noise at every timestep: the ablation of Alg. 1."""

    def draw(self, shape: tuple[int, int, int], *, strength: float, generator: torch.Generator) -> Tensor:
        """Draw one sample of independent standard normal numbers; `strength` plays no part."""
        return torch.randn(shape, generator=generator, device=generator.device)


@dataclass(frozen=True)
class ZeroNoise(NoiseSampler):
    """No noise at all, for one deterministic step from zero (Garcia et al. 2024)."""

    def draw(self, shape: tuple[int, int, int], *, strength: float, generator: torch.Generator) -> Tensor:
        """Zeros; nothing is drawn."""
        return torch.zeros(shape, device=generator.device)
