"""D_trans that a CPU can train: everything at half size and below, starting from hints where there are any."""

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from drip_lightning.nn.latents import LatentCodec, LatentPairs
from drip_lightning.nn.pretrained import Networks
from drip_lightning.nn.transparency import IMAGE_CHANNELS, DecoderChoice, LatentDecoder, normalisable_side
from drip_lightning.nn.zero import set_to_zero
from drip_lightning.ops.compositing import agreeing
from drip_lightning.ops.domains import split_domains
from drip_lightning.ops.hints.choice import CHANNELS, Hints


class HalfSizeUNetDecoderModule(LatentDecoder):
    """A U-Net whose finest features have half the picture's size; pixel unshuffle and shuffle lose nothing.

    Image, trimap, the VAE's two pictures and the hints enter together, colours as differences from the image. The
    answer, foreground, background and alpha, is added to the first hint, or to the VAE's pictures and the image as
    background where there are no hints, and starts at zero. Then both colours are brought to agree with the image
    (`agreeing`): what is seen of the foreground is taken from there, not made up. Latents enter through a
    zero-initialised 1×1 convolution, at `latent_level`, brought to the size of the features there.
    Group normalisation, dear on a CPU, begins one level below the finest.

    Args:
        channels: Features of each level, from half size down by halves; more levels than `latent_level`.
        hints: Number of guesses in the hints.
        latent_channels: Channels of one latent.
        latent_level: Level at which the latents enter.
        takes_latents: Whether they do, and what the VAE makes of them; else the image, an alpha of ½ and zeros stand
            there, and what is left is D_trans without a denoiser.
        layers_per_block: Residual blocks in each level, on the way down and on the way up.
        norm_groups: Groups of each group normalisation; divides every number of channels but the first.

    Raises:
        ValueError: if there are too few levels for the latents to enter.
    """

    @register_to_config
    def __init__(
        self,
        channels: tuple[int, ...],
        *,
        hints: int = 0,
        latent_channels: int = 4,
        latent_level: int = 2,
        takes_latents: bool = True,
        layers_per_block: int = 1,
        norm_groups: int = 4,
    ) -> None:
        super().__init__()
        if len(channels) <= latent_level:
            raise ValueError(f"channels: latents enter at level {latent_level}, got only {len(channels)} levels")
        self.hints = hints
        self.latent_channels = latent_channels
        self.latent_level = latent_level
        self.takes_latents = takes_latents
        self.size_multiple = 2 ** len(channels) * normalisable_side(channels[-1], norm_groups)

        def level(place: int) -> nn.Sequential:
            groups = norm_groups if place else None
            return nn.Sequential(*(_Residual(channels[place], groups) for _ in range(layers_per_block)))

        self.conv_in = nn.Conv2d(4 * (IMAGE_CHANNELS + CHANNELS * hints), channels[0], 3, padding=1)
        self.latent_in = nn.Conv2d(2 * latent_channels, channels[latent_level], 1)
        set_to_zero(self.latent_in)
        self.latent_in.requires_grad_(takes_latents)
        self.down_levels = nn.ModuleList(level(place) for place in range(len(channels)))
        pairs = list(itertools.pairwise(channels))
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairs)
        self.merge = nn.ModuleList(nn.Conv2d(fine + coarse, fine, 1) for fine, coarse in pairs)
        self.up_levels = nn.ModuleList(level(place) for place in range(len(pairs)))
        self.conv_out = nn.Conv2d(channels[0], 4 * (3 + 3 + 1), 3, padding=1)
        set_to_zero(self.conv_out)

    def decode(self, image: Tensor, trimap: Tensor, pairs: LatentPairs, hints: Tensor) -> tuple[Tensor, Tensor]:
        """Mend the first hint, or what the VAE makes of the latents."""
        if self.takes_latents:
            return self(image, trimap, *pairs.pictures, pairs.latents, hints)
        nothing = image.new_zeros(2 * len(image), self.latent_channels, 1, 1)
        return self(image, trimap, image, torch.full_like(trimap, 0.5), nothing, hints)

    def forward(
        self, image: Tensor, trimap: Tensor, foreground: Tensor, alpha: Tensor, latents: Tensor, hints: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mend foreground and alpha (DRIP Eq. 6).

        Args:
            image: (B, 3, H, W) in [0, 1]; H and W are multiples of `size_multiple`.
            trimap: (B, 1, H, W), 0, 0.5 or 1.
            foreground: (B, 3, H, W), decoded by the VAE.
            alpha: (B, 1, H, W), decoded by the VAE.
            latents: (2B, C, h, w) as sampled, domains stacked.
            hints: (B, 7 · hints, H, W) in [0, 1], see `Hints`.

        Returns:
            Foreground (B, 3, H, W) and alpha (B, 1, H, W), near [0, 1], not clamped.
        """
        maps = [image - 0.5, trimap - 0.5, foreground - image, alpha - 0.5]
        for guess in hints.split(CHANNELS, dim=1) if self.hints else ():
            maps += [guess[:, 0:3] - image, guess[:, 3:6] - image, guess[:, 6:] - 0.5]
        dtype = self.conv_in.weight.dtype
        features = self.conv_in(F.pixel_unshuffle(torch.cat(maps, dim=1), 2).to(dtype))
        skips = []
        for place, level in enumerate(self.down_levels):
            if place:
                features = self.shrink[place - 1](features)
            if place == self.latent_level:
                entering = self.latent_in(torch.cat(split_domains(latents), dim=1).to(dtype))
                features = features + F.interpolate(entering, size=features.shape[-2:], mode="bilinear")
            features = self.run(level, features)
            skips.append(features)
        for place in reversed(range(len(self.up_levels))):
            features = F.interpolate(features, size=skips[place].shape[-2:], mode="nearest")
            merged = self.merge[place](torch.cat([features, skips[place]], dim=1))
            features = self.run(self.up_levels[place], merged)
        start = hints[:, :CHANNELS] if self.hints else torch.cat([foreground, image, alpha], dim=1)
        answer = start + F.pixel_shuffle(self.conv_out(F.silu(features)), 2)
        foreground, background, alpha = answer.split([3, 3, 1], dim=1)
        foreground, _ = agreeing(image, foreground, background, alpha.clamp(0, 1))
        return foreground, alpha


class _Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, channels: int, norm_groups: int | None) -> None:
        super().__init__()
        self.norm = nn.Identity() if norm_groups is None else nn.GroupNorm(norm_groups, channels)
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv_2(F.silu(self.conv_1(F.silu(self.norm(features)))))


@dataclass(frozen=True)
class HalfSizeUNetDecoder(DecoderChoice):
    """D_trans at half size: several times cheaper than `UNetDecoder` on a CPU, and the one that takes hints.

    Args:
        takes_latents: Whether what the denoiser made enters; without, as an ablation, D_trans is alone.
    """

    takes_latents: bool = True

    takes_hints = True

    def build(self, codec: LatentCodec, networks: Networks, hints: Hints) -> HalfSizeUNetDecoderModule:
        """Build a `HalfSizeUNetDecoderModule`."""
        return HalfSizeUNetDecoderModule(
            networks.transparency_channels,
            hints=len(hints.guesses),
            latent_channels=codec.channels,
            latent_level=codec.downsampling.bit_length() - 2,
            takes_latents=self.takes_latents,
            layers_per_block=networks.transparency_layers,
        )
