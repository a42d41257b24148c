"""The VAE decoder with the VAE encoder's early features of the image: what DRIP's introduction describes."""

from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from drip_lightning.nn.latents import LatentCodec
from drip_lightning.nn.pretrained import Networks
from drip_lightning.nn.transparency import DecoderChoice, LatentDecoder
from drip_lightning.ops.domains import stack_domains


class SkipDecoder(LatentDecoder):
    """The frozen VAE decoder, whose upward blocks also get what the encoder saw of the image at their size.

    Each level has a zero-initialised 1×1 convolution from the encoder's features before it halves them to the
    decoder's before it doubles them, for foreground and alpha apart: training starts from `VaeDecoder`. Only these
    convolutions are trained.

    Args:
        codec: The frozen VAE; it stays where it is and is no part of the decoder's weights.
    """

    def __init__(self, codec: LatentCodec) -> None:
        super().__init__()
        self._codec = (codec,)  # in a tuple, so that it is not registered
        vae = codec.vae
        widths = [int(width) for width in (vae.encoder.conv_in.out_channels, *vae.config["block_out_channels"][:-1])]
        wanted = [int(cast(Any, block).resnets[0].in_channels) for block in vae.decoder.up_blocks]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width, 2 * into, 1) for width, into in zip(reversed(widths), wanted, strict=True)
        )
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def decode(self, codec: LatentCodec, image: Tensor, trimap: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        """See `LatentDecoder.decode`; the VAE decodes once."""
        return self.run(image, latents)

    def forward(
        self, image: Tensor, trimap: Tensor, foreground: Tensor, alpha: Tensor, latents: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `LatentDecoder.forward`; what the VAE made of the latents alone plays no part."""
        return self.run(image, latents)

    def run(self, image: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Decode latents (2B, C, h, w) under the image (B, 3, H, W)."""
        (codec,) = self._codec
        additions = [
            stack_domains(*convolution(own).chunk(2, dim=1))
            for convolution, own in zip(self.convolutions, reversed(codec.features(image)), strict=True)
        ]
        return codec.decode(latents, additions)


@dataclass(frozen=True)
class SkipConnections(DecoderChoice):
    """The VAE decoder with the encoder's features of the image."""

    def build(self, codec: LatentCodec, networks: Networks) -> SkipDecoder:
        """Build a `SkipDecoder`."""
        return SkipDecoder(codec)
