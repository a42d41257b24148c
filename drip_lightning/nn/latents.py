"""Encode pixels to latents and back with a frozen VAE (DRIP Sec. 3.1)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn

from drip_lightning.errors import InputError
from drip_lightning.ops.domains import split_domains
from drip_lightning.ops.geometry import enlarge_picture
from drip_lightning.ops.windows import Tiles, Window

CPU_PIXELS_AT_ONCE = 2**16
"""At most so many pixels enter the VAE in one call, but at least one picture: a CPU is fastest with few, whose
activations stay in its cache."""
GPU_PIXELS_AT_ONCE = 2**21
"""Eight pictures of 512×512 keep a GPU busy; more would cost memory and save little time."""

AlphaDecoding = Literal["mean", "first"]
VaePrecision = Literal["trainer", "float32"]


def _call(block: Callable[..., Tensor], features: Tensor) -> Tensor:
    return block(features)


class LatentCodec(nn.Module):
    """Encodes pictures in [0, 1] to scaled latents and back; the only place where pixels are in [-1, 1].

    The VAE is frozen and stays in evaluation mode. It never runs in float16, which overflows in Stable Diffusion's
    VAE: under a float16 autocast it runs in its own precision instead. Convolutions run channels-last. Large batches
    go through in slices, so that memory does not grow with the batch.

    Args:
        vae: Encoder and decoder; `vae.config.scaling_factor` is the latents' scale.
        alpha_decoding: Whether alpha is the `mean` of the three channels it is decoded to, or the `first`.
        precision: Whether it runs in the `trainer`'s precision, that is under its autocast, or in `float32`.
    """

    def __init__(
        self, vae: AutoencoderKL, *, alpha_decoding: AlphaDecoding = "mean", precision: VaePrecision = "trainer"
    ) -> None:
        super().__init__()
        self.precision = precision
        self.pixels_at_once: int | None = None
        """How many pixels enter the VAE in one call, but at least one picture; by default what suits the device."""
        self.alpha_decoding = alpha_decoding
        self.vae = vae.requires_grad_(False).eval()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode whatever the parent does."""
        return super().train(False)

    @property
    def channels(self) -> int:
        """Channels of a latent."""
        return self.vae.config["latent_channels"]

    @property
    def downsampling(self) -> int:
        """Pixels to a latent's side; 8 for Stable Diffusion."""
        return vae_downsampling(self.vae)

    def encode(self, *pictures: Tensor) -> tuple[Tensor, ...]:
        """Encode several batches as one, taking the posterior's mode; no gradient passes.

        Args:
            pictures: Each (B, 3, H, W) or (B, 1, H, W) in [0, 1], equal but for channels; one channel is repeated
                to three. H and W must be divisible by `downsampling`.

        Raises:
            InputError: height or width is not divisible.

        Returns:
            For each picture its scaled latent (B, C, H/8, W/8).
        """
        height, width = pictures[0].shape[-2:]
        if height % self.downsampling or width % self.downsampling:
            raise InputError(
                f"pictures of {width}×{height}: the VAE wants sides divisible by {self.downsampling} (data.image_size)"
            )
        batch = stack_for_vae(*pictures)
        with torch.inference_mode(), self._autocast(batch):
            modes = [
                self.vae.encode(slice_.to(self.vae.dtype)).latent_dist.mode()
                for slice_ in self._slices(batch, height * width)
            ]
        # outside of inference mode, the product is an ordinary tensor that autograd may keep
        return (torch.cat(modes).float() * self.vae.config["scaling_factor"]).chunk(len(pictures))

    def decode(
        self, latents: Tensor, additions: Sequence[Tensor] = (), *, run: Callable[..., Tensor] = _call
    ) -> tuple[Tensor, Tensor]:
        """Decode stacked latents as one batch.

        Args:
            latents: (2B, C, h, w) scaled latents, domains stacked.
            additions: Nothing, or what is added to the features that enter each of the decoder's upward blocks,
                (2B, …), domains stacked.
            run: `(block, features) -> features`: runs each of those blocks.

        Returns:
            Foreground (B, 3, 8h, 8w), and alpha (B, 1, 8h, 8w) as the mean or first of its three channels; near [0, 1],
            not clamped.
        """
        unscaled = latents.to(self.vae.dtype) / self.vae.config["scaling_factor"]
        picture_pixels = latents[0, 0].numel() * self.downsampling**2
        slices = zip(*(self._slices(whole, picture_pixels) for whole in (unscaled, *additions)), strict=True)
        with self._autocast(latents):
            pixels = torch.cat([_run_decoder(self.vae, slice_, own, run) for slice_, *own in slices])
        foreground, alpha = split_domains(from_vae_range(pixels))
        return foreground, alpha.mean(dim=1, keepdim=True) if self.alpha_decoding == "mean" else alpha[:, :1]

    @torch.no_grad()
    def features(self, image: Tensor) -> list[Tensor]:
        """The encoder's features of an image (B, 3, H, W) in [0, 1] as they enter its levels, from full size down."""
        encoder = _present(self.vae).encoder
        with self._autocast(image):
            features = [encoder.conv_in(stack_for_vae(image).to(self.vae.dtype))]
            for block in encoder.down_blocks[:-1]:
                features.append(block(features[-1]))
        return features

    def _slices(self, batch: Tensor, picture_pixels: int) -> tuple[Tensor, ...]:
        """Parts of a batch that go through the VAE at once."""
        own = CPU_PIXELS_AT_ONCE if batch.device.type == "cpu" else GPU_PIXELS_AT_ONCE
        at_once = self.pixels_at_once or own
        return batch.contiguous(memory_format=torch.channels_last).split(max(1, at_once // picture_pixels))

    @contextmanager
    def _autocast(self, tensor: Tensor) -> Iterator[None]:
        device = tensor.device.type
        keep = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) != torch.float16
        with torch.autocast(device, enabled=keep and self.precision == "trainer"):
            yield


@dataclass(frozen=True, eq=False)
class LatentPairs:
    """A batch's latents of both domains, and the VAE they belong to: it decodes them when first asked, and only once.

    Attributes:
        codec: The frozen VAE.
        latents: (2B, C, h, w) scaled latents, domains stacked.
        reduction: How many times smaller than the picture the denoiser saw it.
        tiles: In which the VAE decodes them, in pixels of its pictures; none for all at once.
        finished: Called after each tile.
        whole: Those of which these are a window, if they are: then they have its decoded pictures.
    """

    codec: LatentCodec
    latents: Tensor
    reduction: int = 1
    tiles: Tiles | None = None
    finished: Callable[[], None] = lambda: None
    whole: "tuple[LatentPairs, Window] | None" = None

    def part(self, window: Window) -> "LatentPairs":
        """Those of a window of the latents."""
        return LatentPairs(self.codec, window.cut(self.latents), self.reduction, whole=(self, window))

    @cached_property
    def seen(self) -> Tensor:
        """What the VAE alone decodes at the denoiser's scale: foreground and alpha (B, 4, 8h, 8w); no gradient."""
        if self.whole is not None:
            pairs, window = self.whole
            return window.times(self.codec.downsampling).view(pairs.seen)
        if self.tiles is None:
            return self._decoded(self.latents)

        def run(tile: Window) -> Tensor:
            pictures = self._decoded(tile.over(self.codec.downsampling).cut(self.latents))
            self.finished()
            return pictures

        return self.tiles.blend(run)

    @torch.no_grad()
    def _decoded(self, latents: Tensor) -> Tensor:
        return torch.cat(self.codec.decode(latents), dim=1)

    @cached_property
    def pictures(self) -> tuple[Tensor, Tensor]:
        """What the VAE alone decodes, at full size: foreground (B, 3, H, W) and alpha (B, 1, H, W); no gradient."""
        foreground, alpha = enlarge_picture(self.seen, self.reduction).split([3, 1], dim=1)
        return foreground, alpha


def vae_downsampling(vae: AutoencoderKL) -> int:
    """Pixels to a latent's side: one halving less than the VAE has levels."""
    return 2 ** (len(vae.config["block_out_channels"]) - 1)


def stack_for_vae(*pictures: Tensor) -> Tensor:
    """Stack batches (B, 3 or 1, H, W) in [0, 1] as the VAE's input (nB, 3, H, W) in [-1, 1], one channel repeated."""
    return 2 * torch.cat([picture.expand(-1, 3, -1, -1) for picture in pictures]) - 1


def from_vae_range(pixels: Tensor) -> Tensor:
    """Bring the VAE's output from [-1, 1] to float32 in [0, 1]; not clamped."""
    return (pixels.float() + 1) / 2


def _run_decoder(
    vae: AutoencoderKL, latents: Tensor, additions: Sequence[Tensor], run: Callable[..., Tensor]
) -> Tensor:
    if not additions:
        return vae.decode(latents).sample
    decoder = _present(vae).decoder
    features = decoder.mid_block(decoder.conv_in(vae.post_quant_conv(latents) if vae.post_quant_conv else latents))
    for block, addition in zip(decoder.up_blocks, additions, strict=True):
        features = run(block, features + addition)
    return decoder.conv_out(decoder.conv_act(decoder.conv_norm_out(features)))


def _present(vae: AutoencoderKL) -> AutoencoderKL:
    """The VAE, on its device now even if diffusers keeps it elsewhere: its parts are about to be called."""
    hook = getattr(vae, "_hf_hook", None)
    if hook is not None:
        hook.pre_forward(vae)
    return vae
