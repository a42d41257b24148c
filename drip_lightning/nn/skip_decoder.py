"""The VAE decoder with the VAE encoder's early features of the image: what DRIP's introduction describes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from drip_lightning.nn.latents import LatentCodec, LatentPairs
from drip_lightning.nn.pretrained import Networks
from drip_lightning.nn.transparency import DecoderChoice, LatentDecoder
from drip_lightning.nn.zero import set_to_zero
from drip_lightning.ops.domains import stack_domains
from drip_lightning.ops.geometry import enlarge_picture, reduce_picture
from drip_lightning.ops.hints.choice import Hints


class SkipDecoderModule(LatentDecoder):
    """The frozen VAE decoder, whose upward blocks also get what the encoder saw of the image at their size.

    Each level has a zero-initialised 1×1 convolution from the encoder's features before it halves them to the
    decoder's before it doubles them, for foreground and alpha apart: training starts from the
    plain VAE decoder. Only these convolutions are trained.

    Args:
        encoder_channels: Of the VAE encoder's features as they enter its levels, from full size down.
        decoder_channels: Of those that enter its decoder's upward blocks, from the coarsest on.
    """

    @register_to_config
    def __init__(self, *, encoder_channels: tuple[int, ...], decoder_channels: tuple[int, ...]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width, 2 * into, 1)
            for width, into in zip(reversed(encoder_channels), decoder_channels, strict=True)
        )
        set_to_zero(self)

    @classmethod
    def of(cls, codec: LatentCodec) -> "SkipDecoderModule":
        """For a frozen VAE, whose widths count."""
        vae = codec.vae
        return cls(
            encoder_channels=(vae.encoder.conv_in.out_channels, *vae.config["block_out_channels"][:-1]),
            decoder_channels=tuple(int(cast(Any, block).resnets[0].in_channels) for block in vae.decoder.up_blocks),
        )

    def decode(self, image: Tensor, trimap: Tensor, pairs: LatentPairs, hints: Tensor) -> tuple[Tensor, Tensor]:
        """Decode under the image, reduced as the denoiser saw it; the trimap plays no part."""
        additions = self(pairs.codec.features(reduce_picture(image, pairs.reduction)))
        foreground, alpha = pairs.codec.decode(pairs.latents, additions, run=self.run)
        return enlarge_picture(foreground, pairs.reduction), enlarge_picture(alpha, pairs.reduction)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Turn the encoder's features of the image into what is added to the decoder's.

        Args:
            features: Each (B, …), from full size down, see `LatentCodec.features`.

        Returns:
            For each upward block, from the coarsest on, (2B, …), domains stacked.
        """
        dtype = next(self.parameters()).dtype
        return [
            stack_domains(*convolution(own.to(dtype)).chunk(2, dim=1))
            for convolution, own in zip(self.convolutions, reversed(features), strict=True)
        ]


@dataclass(frozen=True)
class SkipDecoder(DecoderChoice):
    """The VAE decoder with the encoder's features of the image."""

    def build(self, codec: LatentCodec, networks: Networks, hints: Hints) -> SkipDecoderModule:
        """Build a `SkipDecoderModule`."""
        return SkipDecoderModule.of(codec)
