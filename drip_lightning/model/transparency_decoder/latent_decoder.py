"""What mends the VAE's pictures (DRIP Sec. 3.3).

Taken from the source of drip_lightning 0.1.0 (Apache-2.0), so that it works with diffusers and torch alone; changes
belong there.
"""

from abc import ABC
from abc import abstractmethod
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from diffusers.configuration_utils import ConfigMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.modeling_utils import ModelMixin
from functools import cached_property
from torch import Tensor
from torch import nn
from torch.utils.checkpoint import checkpoint
from typing import Any
from typing import Literal
from typing import Self
import itertools
import math
import torch
import torch.nn.functional as F


# drip_lightning.ops.domains

def split_domains(stacked: Tensor) -> tuple[Tensor, Tensor]:
    """Undo `stack_domains`: (2B, …) becomes (foreground, alpha), each (B, …)."""
    if stacked.shape[0] % 2:
        raise ValueError(f"stacked domains: expected an even batch, got {tuple(stacked.shape)}")
    foreground, alpha = stacked.chunk(2)
    return foreground, alpha


# drip_lightning.errors

class DripError(Exception):
    """Base of what `drip` tells in one line, without a traceback; any other exception is a defect and keeps its own."""

class InputError(DripError, ValueError):
    """What the user gave cannot be used; the message is one line that says what was found and what to do.

    Raise it for a missing folder, a wrong file or an impossible setting.
    """


# drip_lightning.ops.geometry

def repeat_edge(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Extend a picture (…, h, w) to (…, H, W) by repeating its last row and column; one of that size is returned."""
    for axis, wanted in zip((-2, -1), size, strict=True):
        length = picture.shape[axis]
        if length < wanted:
            positions = torch.arange(wanted, device=picture.device).clamp_max(length - 1)
            picture = picture.index_select(axis, positions)
    return picture

def enlarge_picture(picture: Tensor, factor: int) -> Tensor:
    """Bring a picture (B, C, h, w) to (B, C, factor · h, factor · w), bilinearly."""
    return picture if factor == 1 else F.interpolate(picture, scale_factor=factor, mode="bilinear")


# drip_lightning.ops.windows

@dataclass(frozen=True)
class Window:
    """A rectangle of a picture; it may reach beyond the right and the lower edge, where the last pixels repeat.

    Attributes:
        top: First row.
        left: First column.
        height: Rows.
        width: Columns.
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    def within(self, size: tuple[int, int]) -> "Window":
        """The part of it inside of a picture of (H, W)."""
        height, width = min(self.height, size[0] - self.top), min(self.width, size[1] - self.left)
        return Window(self.top, self.left, height, width)

    def relative_to(self, other: "Window") -> "Window":
        """The same, counted from the other's upper left."""
        return Window(self.top - other.top, self.left - other.left, self.height, self.width)

    def placed_in(self, other: "Window") -> "Window":
        """Undo `relative_to`."""
        return Window(self.top + other.top, self.left + other.left, self.height, self.width)

    def times(self, factor: int) -> "Window":
        """The same in a picture `factor` times larger."""
        return Window(*(factor * side for side in (self.top, self.left, self.height, self.width)))

    def over(self, factor: int) -> "Window":
        """The same in a picture `factor` times smaller; every side must be divisible."""
        assert not any(side % factor for side in (self.top, self.left, self.height, self.width)), (self, factor)
        return Window(*(side // factor for side in (self.top, self.left, self.height, self.width)))

    def view(self, picture: Tensor) -> Tensor:
        """The pixels of (…, H, W) that are in it, not copied; fewer than its size beyond the edges."""
        return picture[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def cut(self, picture: Tensor) -> Tensor:
        """Its pixels of (…, H, W), as (…, height, width)."""
        return repeat_edge(self.view(picture), self.size)

def round_up(number: int, multiple: int) -> int:
    """The next multiple."""
    return -(-number // multiple) * multiple

@dataclass(frozen=True)
class Tiles:
    """Tiles of a window, computed one by one, their results blended where they overlap.

    Attributes:
        window: What they cover, or would, if none had been left out.
        overlap: Pixels that neighbours share at least.
        each: The tiles, row by row.
    """

    window: Window
    overlap: int
    each: tuple[Window, ...]

    @classmethod
    def cover(cls, window: Window, side: int, overlap: int, multiple: int = 1) -> "Tiles":
        """Cover a window exactly, with as few and then as small tiles as will do.

        Args:
            window: What is covered; its sides are multiples of `multiple`, as is the next.
            side: Of a tile at most.
            overlap: Less than `side`, and of what the tiles' places are multiples; the last two along a side may share
                more.
            multiple: Of which the tiles' sides are.
        """

        def axis(length: int) -> tuple[int, list[int]]:
            count = max(1, -(-(length - overlap) // (side - overlap)))
            own = round_up(-(-(length + (count - 1) * overlap) // count), multiple)
            return own, [min(place * (own - overlap), length - own) for place in range(count)]

        (height, rows), (width, columns) = axis(window.height), axis(window.width)
        each = (Window(window.top + row, window.left + column, height, width) for row in rows for column in columns)
        return cls(window, overlap, tuple(each))

    def where(self, wanted: Callable[[Window], bool]) -> "Tiles":
        """Without those that are not wanted."""
        return Tiles(self.window, self.overlap, tuple(tile for tile in self.each if wanted(tile)))

    def over(self, factor: int) -> "Tiles":
        """The same in a picture `factor` times smaller; every side must be divisible."""
        return Tiles(self.window.over(factor), self.overlap // factor, tuple(tile.over(factor) for tile in self.each))

    def covered(self) -> Tensor:
        """Where in the window (H, W) there is a tile: true there, false elsewhere."""
        covered = torch.zeros(self.window.size, dtype=torch.bool)
        for tile in self.each:
            tile.relative_to(self.window).view(covered).fill_(True)
        return covered

    def weight(self, tile: Window) -> Tensor:
        """How much a tile counts at each of its pixels (height, width), in (0, 1].

        Towards a neighbour it falls as a squared cosine over the overlap, so that the two add up to 1; at the edges of
        the window it does not fall.
        """
        place, overlap = tile.relative_to(self.window), self.overlap

        def axis(start: int, length: int, end: int) -> Tensor:
            weight = torch.ones(length)
            rising = torch.sin((torch.arange(overlap) + 0.5) * (math.pi / 2 / max(1, overlap))).square()
            if start > 0:
                weight[:overlap] *= rising
            if start + length < end:
                weight[length - overlap :] *= rising.flip(0)
            return weight

        rows = axis(place.top, tile.height, self.window.height)
        return rows[:, None] * axis(place.left, tile.width, self.window.width)

    def blend(self, run: Callable[[Window], Tensor]) -> Tensor:
        """Compute the tiles, at least one.

        Args:
            run: From a tile to its result (…, height, width).

        Returns:
            (…, H, W) of the window: the mean of the tiles by their weights; 0 where there is none. The result of a
            tile that is the window is returned as it is.
        """
        if self.each == (self.window,):
            return run(self.window)
        total: Tensor | None = None
        weights = torch.zeros(self.window.size)
        for tile in self.each:
            result, weight, place = run(tile), self.weight(tile), tile.relative_to(self.window)
            if total is None:
                total = result.new_zeros(*result.shape[:-2], *self.window.size)
                weights = weights.to(total)
            weight = weight.to(total)
            place.view(total).add_(result * weight)
            place.view(weights).add_(weight)
        assert total is not None
        return total.div_(weights.clamp_min_(torch.finfo(torch.float32).tiny))


# drip_lightning.nn.latents

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


# drip_lightning.nn.transparency

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


# drip_lightning.nn.zero

def set_to_zero(layer: nn.Module) -> None:
    """Set every parameter of a layer to zero, in place."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


# drip_lightning.ops.compositing

def over(foreground: Tensor, alpha: Tensor, background: Tensor) -> Tensor:
    """Composite straight foreground over background, `I = aF + (1-a)B` (DRIP Eq. 1).

    Args:
        foreground: (B, 3, H, W) in [0, 1], not premultiplied.
        alpha: (B, 1, H, W) in [0, 1].
        background: (B, 3, H, W) in [0, 1].

    Returns:
        (B, 3, H, W) in [0, 1]; exactly the foreground where alpha is 1, exactly the background where it is 0.
    """
    return alpha * foreground + (1 - alpha) * background

def agreeing(image: Tensor, foreground: Tensor, background: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Change both colours as little as possible, in the sum of squares, so that `over` makes the image of them.

    Where alpha is near 1, the foreground becomes the image's colour whatever it was; where it is near 0, it stays.

    Args:
        image: (B, 3, H, W) in [0, 1].
        foreground: (B, 3, H, W), straight colour, near [0, 1].
        background: (B, 3, H, W), near [0, 1].
        alpha: (B, 1, H, W) in [0, 1].

    Returns:
        Foreground and background (B, 3, H, W), near [0, 1].
    """
    share = (image - over(foreground, alpha, background)) / (alpha.square() + (1 - alpha).square())
    return foreground + alpha * share, background + (1 - alpha) * share


# drip_lightning.ops.hints.choice

CHANNELS = 3 + 3 + 1

"""Of one guess: foreground, background, alpha."""


# drip_lightning.nn.half_size

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