"""What the latents are noised with: one class a choice, so that an ablation swaps a `class_path`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from drip_lightning.ops.domains import stack_domains
from drip_lightning.ops.noise import multi_resolution_noise


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
            (C, h, w) float32 with standard deviation about 1, on the generator's device.
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
class AnnealedMultiResolutionNoise(NoiseSampler):
    """Gaussian noise of several resolutions whose coarse levels vanish as t → 0 (DRIP Alg. 1), deviation per sample.

    Attributes:
        discount: Weight ratio of successive levels.
        upsampling: How coarse levels are brought up to full size.
    """

    discount: float = 0.9
    upsampling: Literal["nearest", "bilinear"] = "nearest"

    def draw(self, shape: tuple[int, int, int], *, strength: float, generator: torch.Generator) -> Tensor:
        """Draw one sample; see `drip_lightning.ops.noise.multi_resolution_noise`."""
        return multi_resolution_noise(
            shape, strength=strength, generator=generator, discount=self.discount, upsampling=self.upsampling
        )


@dataclass(frozen=True)
class GaussianNoise(NoiseSampler):
    """Plain Gaussian noise at every timestep: the ablation of Alg. 1."""

    def draw(self, shape: tuple[int, int, int], *, strength: float, generator: torch.Generator) -> Tensor:
        """Draw one sample of independent standard normal numbers; `strength` plays no part."""
        return torch.randn(shape, generator=generator, device=generator.device)
