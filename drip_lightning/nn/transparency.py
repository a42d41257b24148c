"""From sampled latents to the final foreground and alpha: the decoders that can be compared (DRIP Sec. 3.3)."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_blocks import DownBlock2D, UNetMidBlock2D, UpBlock2D
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from drip_lightning.nn.latents import LatentCodec, LatentPairs
from drip_lightning.nn.pretrained import Networks
from drip_lightning.nn.zero import set_to_zero
from drip_lightning.ops.domains import split_domains
from drip_lightning.ops.hints.choice import Hints

IMAGE_CHANNELS = 3 + 1 + 3 + 1
"""Image, trimap, decoded foreground, decoded alpha."""


class LatentDecoder(ABC, ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Makes foreground and alpha of sampled latents, with the picture at hand (DRIP Eq. 6).

    A model of diffusers: whose arguments are plain values and noted by `register_to_config` is saved and loaded as any.
    """

    size_multiple: int = 1
    """Pictures' height and width must be divisible by this."""
    hints: int = 0
    """Number of guesses that `decode` is given and mends."""
    gradient_checkpointing: bool = False
    """Whether the backward pass recomputes activations; what `decode` runs by `run` is then recomputed."""

    @abstractmethod
    def decode(self, image: Tensor, trimap: Tensor, pairs: LatentPairs, hints: Tensor) -> tuple[Tensor, Tensor]:
        """Decode; gradient reaches this decoder's weights, and no latents.

        Args:
            image: (B, 3, H, W) in [0, 1].
            trimap: (B, 1, H, W), 0, 0.5 or 1.
            pairs: Latents of the B samples, as sampled, perhaps of a reduced picture, and the VAE; what that makes of
                them alone is made on demand.
            hints: (B, 7 · guesses, H, W) in [0, 1], see `Hints`; without channels where there are none.

        Returns:
            Foreground (B, 3, H, W) and alpha (B, 1, H, W), near [0, 1], not clamped.
        """

    def run(self, block: Callable[..., Any], *inputs: Any) -> Any:
        """Call a block of layers; under gradient checkpointing its inputs alone are kept for the backward pass."""
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(block, *inputs, use_reentrant=False)
        return block(*inputs)


def normalisable_side(channels: int, groups: int) -> int:
    """Least side of features that group normalisation takes: a group's single number has no deviation."""
    return 2 if channels == groups else 1


class VaeDecoderModule(LatentDecoder):
    """The frozen VAE decoder alone: the paper's "without D_trans"."""

    def decode(self, image: Tensor, trimap: Tensor, pairs: LatentPairs, hints: Tensor) -> tuple[Tensor, Tensor]:
        """Return the VAE's foreground and alpha as they are."""
        return pairs.pictures


class UNetDecoderModule(LatentDecoder):
    """D_trans: a pixel-space U-Net that mends what the VAE lost (DRIP Eq. 6; LayerDiffuse, Zhang & Agrawala 2024).

    Image, trimap and the VAE's two pictures enter at full size; the two latents enter, through a zero-initialised 1×1
    convolution, where features have the latents' size, or would have it, had the denoiser seen the picture unreduced.
    The answer is added to the VAE's pictures and starts at zero, so that training starts from the plain VAE decoder. No
    attention: memory grows with the picture's area alone.

    Args:
        channels: Features of each level, from full size down by halves; more levels than `latent_level`.
        latent_channels: Channels of one latent.
        latent_level: Halvings between pixels and latents; 3 for an eightfold VAE.
        layers_per_block: Residual blocks in each level.
        norm_groups: Groups of each group normalisation; divides every number of channels.

    Raises:
        ValueError: if there are too few levels for the latents to enter.
    """

    @register_to_config
    def __init__(
        self,
        channels: tuple[int, ...],
        *,
        latent_channels: int = 4,
        latent_level: int = 3,
        layers_per_block: int = 2,
        norm_groups: int = 4,
    ) -> None:
        super().__init__()
        if len(channels) <= latent_level:
            raise ValueError(f"channels: latents enter at level {latent_level}, got only {len(channels)} levels")
        self.latent_level = latent_level
        self.skips_per_level = layers_per_block + 1
        self.size_multiple = 2 ** (len(channels) - 1) * normalisable_side(channels[-1], norm_groups)
        blocks: dict[str, Any] = {"temb_channels": None, "resnet_groups": norm_groups}
        self.conv_in = nn.Conv2d(IMAGE_CHANNELS, channels[0], 3, padding=1)
        self.latent_in = nn.Conv2d(2 * latent_channels, channels[latent_level - 1], 1)
        set_to_zero(self.latent_in)
        outer = (channels[0], *channels[:-1])
        self.down_blocks = nn.ModuleList(
            DownBlock2D(
                before, width, num_layers=layers_per_block, add_downsample=width_level < len(channels) - 1, **blocks
            )
            for width_level, (before, width) in enumerate(zip(outer, channels, strict=True))
        )
        self.mid_block = UNetMidBlock2D(channels[-1], add_attention=False, **blocks)
        coming = (channels[-1], *reversed(channels[1:]))
        self.up_blocks = nn.ModuleList(
            UpBlock2D(
                before,
                previous,
                width,
                num_layers=self.skips_per_level,
                add_upsample=place < len(channels) - 1,
                **blocks,
            )
            for place, (before, previous, width) in enumerate(
                zip(reversed(outer), coming, reversed(channels), strict=True)
            )
        )
        self.norm_out = nn.GroupNorm(norm_groups, channels[0])
        self.conv_out = nn.Conv2d(channels[0], 3 + 1, 3, padding=1)
        set_to_zero(self.conv_out)

    def decode(self, image: Tensor, trimap: Tensor, pairs: LatentPairs, hints: Tensor) -> tuple[Tensor, Tensor]:
        """Mend what the VAE makes of the latents."""
        return self(image, trimap, *pairs.pictures, pairs.latents)

    def forward(
        self, image: Tensor, trimap: Tensor, foreground: Tensor, alpha: Tensor, latents: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mend foreground and alpha (DRIP Eq. 6).

        Args:
            image: (B, 3, H, W) in [0, 1].
            trimap: (B, 1, H, W), 0, 0.5 or 1.
            foreground: (B, 3, H, W), decoded by the VAE.
            alpha: (B, 1, H, W), decoded by the VAE.
            latents: (2B, C, h, w) as sampled, domains stacked.

        Returns:
            Foreground (B, 3, H, W) and alpha (B, 1, H, W), near [0, 1], not clamped.
        """
        dtype = self.conv_in.weight.dtype
        features = self.conv_in(torch.cat([image, trimap, foreground, alpha], dim=1).to(dtype))
        skips = [features]
        for level, block in enumerate(self.down_blocks):
            if level == self.latent_level:
                entering = self.latent_in(torch.cat(split_domains(latents), dim=1).to(dtype))
                features = features + F.interpolate(entering, size=features.shape[-2:], mode="bilinear")
            features, block_skips = self.run(block, features)
            skips.extend(block_skips)
        features = self.run(self.mid_block, features)
        for block in self.up_blocks:
            features = self.run(block, features, tuple(skips[-self.skips_per_level :]))
            del skips[-self.skips_per_level :]
        foreground_change, alpha_change = self.conv_out(F.silu(self.norm_out(features))).split([3, 1], dim=1)
        return foreground + foreground_change, alpha + alpha_change


@dataclass(frozen=True)
class DecoderChoice(ABC):
    """A decoder named in a configuration, built once the sizes of the other networks are known."""

    takes_hints: ClassVar[bool] = False
    """Whether hints reach it; elsewhere they are refused."""

    @abstractmethod
    def build(self, codec: LatentCodec, networks: Networks, hints: Hints) -> LatentDecoder:
        """Build the decoder.

        Args:
            codec: The frozen VAE whose latents it decodes.
            networks: Its sizes.
            hints: What it will be given beside image and trimap.
        """


@dataclass(frozen=True)
class VaeDecoder(DecoderChoice):
    """No D_trans: the frozen VAE decoder alone. There is nothing to train."""

    def build(self, codec: LatentCodec, networks: Networks, hints: Hints) -> VaeDecoderModule:
        """Build a `VaeDecoderModule`."""
        return VaeDecoderModule()


@dataclass(frozen=True)
class UNetDecoder(DecoderChoice):
    """D_trans as a pixel-space U-Net: the paper's choice."""

    def build(self, codec: LatentCodec, networks: Networks, hints: Hints) -> UNetDecoderModule:
        """Build a `UNetDecoderModule`."""
        return UNetDecoderModule(
            networks.transparency_channels,
            latent_channels=codec.channels,
            latent_level=codec.downsampling.bit_length() - 1,
            layers_per_block=networks.transparency_layers,
        )
