"""Foreground and alpha of pictures, given trimaps (DRIP, NeurIPS 2024): a pipeline of diffusers.

Taken from the source of drip_lightning 0.1.0 (Apache-2.0), so that it works with diffusers and torch alone; changes
belong there.
"""

from PIL import Image
from abc import ABC
from abc import abstractmethod
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.attention_processor import Attention
from diffusers.models.attention_processor import AttnProcessor2_0
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.utils.outputs import BaseOutput
from functools import cached_property
from importlib import import_module
from pathlib import Path
from torch import Tensor
from torch import nn
from torch._subclasses.fake_tensor import FakeCopyMode
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint
from typing import Any
from typing import ClassVar
from typing import Literal
from typing import Self
from typing import TypeVar
from typing import get_type_hints
from weakref import WeakKeyDictionary
import copy
import math
import numba
import numpy as np
import torch
import torch.nn.functional as F
import weakref


# drip_lightning.ops.domains

def stack_domains(foreground: Tensor, alpha: Tensor) -> Tensor:
    """Stack two equal batches on the batch axis: (B, …) and (B, …) become (2B, …), foreground first."""
    if foreground.shape != alpha.shape:
        raise ValueError(f"domains differ in shape: foreground {tuple(foreground.shape)}, alpha {tuple(alpha.shape)}")
    return torch.cat([foreground, alpha])

def split_domains(stacked: Tensor) -> tuple[Tensor, Tensor]:
    """Undo `stack_domains`: (2B, …) becomes (foreground, alpha), each (B, …)."""
    if stacked.shape[0] % 2:
        raise ValueError(f"stacked domains: expected an even batch, got {tuple(stacked.shape)}")
    foreground, alpha = stacked.chunk(2)
    return foreground, alpha

def pair_domains(stacked: Tensor) -> Tensor:
    """Put a sample's two domains side by side: (2B, …) becomes (B, 2, …), to pick out samples."""
    return torch.stack(split_domains(stacked), dim=1)

def unpair_domains(paired: Tensor) -> Tensor:
    """Undo `pair_domains`: (B, 2, …) becomes (2B, …)."""
    foreground, alpha = paired.unbind(dim=1)
    return stack_domains(foreground, alpha)

def join_tokens(stacked: Tensor) -> Tensor:
    """Concatenate a pair's tokens: (2B, N, C) becomes (B, 2N, C), `'(d b) n c -> b (d n) c'`."""
    return torch.cat(split_domains(stacked), dim=1)

def split_tokens(joined: Tensor) -> Tensor:
    """Undo `join_tokens`: (B, 2N, C) becomes (2B, N, C)."""
    if joined.shape[1] % 2:
        raise ValueError(f"joined tokens: expected an even number, got {tuple(joined.shape)}")
    return torch.cat(joined.chunk(2, dim=1))


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

def reduce_picture(picture: Tensor, factor: int) -> Tensor:
    """Average squares of `factor` × `factor` pixels: (B, C, H, W) to (B, C, H / factor, W / factor)."""
    return picture if factor == 1 else F.avg_pool2d(picture, factor)

def enlarge_picture(picture: Tensor, factor: int) -> Tensor:
    """Bring a picture (B, C, h, w) to (B, C, factor · h, factor · w), bilinearly."""
    return picture if factor == 1 else F.interpolate(picture, scale_factor=factor, mode="bilinear")

def reduce_trimap(trimap: Tensor, factor: int) -> Tensor:
    """Reduce a trimap of 0, 0.5 and 1 as `reduce_picture`: sure where all its pixels are, and the same."""
    mean = reduce_picture(trimap, factor)
    return torch.where((mean == 0) | (mean == 1), mean, 0.5)


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

def unknown_window(unknown: Tensor) -> Window | None:
    """The smallest window that holds every set pixel of a mask (…, H, W); none if none is set."""
    rows, columns = (unknown.flatten(0, -3).any(dim=0).any(dim=axis).nonzero() for axis in (1, 0))
    if not len(rows):
        return None
    (top, left), (bottom, right) = ((int(rows[end]), int(columns[end])) for end in (0, -1))
    return Window(top, left, bottom - top + 1, right - left + 1)

def widened(window: Window, context: int, multiple: int, size: tuple[int, int]) -> Window:
    """Widen a window by its context, and on to a grid of `multiple` that starts at the picture's upper left.

    Args:
        window: In the picture.
        context: Pixels on each side, as far as the picture has them.
        multiple: Of which all its sides become multiples.
        size: (H, W) of the picture, beyond which only the grid leads.
    """

    def axis(start: int, length: int, end: int) -> tuple[int, int]:
        first = max(0, start - context) // multiple * multiple
        return first, round_up(min(end, start + length + context) - first, multiple)

    (top, height), (left, width) = axis(window.top, window.height, size[0]), axis(window.left, window.width, size[1])
    return Window(top, left, height, width)

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


# drip_lightning.nn.described

def choice_of(description: Mapping[str, Any], base: type) -> Any:
    """Make a choice from `{class_path, init_args}`, as exported folders hold it.

    Args:
        description: One of the project's own by its class's name, any other by its dotted path; its arguments may be
            described in the same way.
        base: Of which its class is, or is below.

    Raises:
        InputError: there is no such class below `base`, or it takes other arguments.
    """
    name, arguments = str(description.get("class_path")), description.get("init_args", {})
    module, _, last = name.rpartition(".")
    try:
        if module:
            import_module(module)
        kind = next(one for one in _and_below(base) if one.__name__ == last and module in ("", one.__module__))
        described = {key: value for key, value in arguments.items() if _is_description(value)}
        types = get_type_hints(kind) if described else {}
        return kind(**{**arguments, **{key: choice_of(value, types[key]) for key, value in described.items()}})
    except (ImportError, StopIteration, TypeError, KeyError) as error:
        reason = str(error) or f"no such {base.__name__} is known"
        raise InputError(f"cannot make {name} as it is described: {reason}") from error

def _is_description(value: Any) -> bool:
    return isinstance(value, Mapping) and "class_path" in value

def _and_below(kind: type) -> Iterator[type]:
    yield kind
    own: list[type] = kind.__subclasses__()
    for one in own:
        yield from _and_below(one)


# drip_lightning.nn.attention

class CrossDomainAttnProcessor(AttnProcessor2_0):
    """Each domain's queries attend to the keys and values of both domains (DRIP Eq. 4).

    Keys and values are the same for both domains, so Eq. 4 equals ordinary self-attention over the pair's 2N tokens:
    one fused `scaled_dot_product_attention`, nothing duplicated.
    """

    def __call__(self, attn: Attention, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Attend over (2B, N, C) stacked domains; returns the same shape."""
        return split_tokens(super().__call__(attn, join_tokens(hidden_states), *args, **kwargs))

class DomainAttention(ABC):
    """A choice of self-attention, installed into a U-Net as diffusers attention processors."""

    @abstractmethod
    def install(self, unet: UNet2DConditionModel) -> None:
        """Set the processors of `unet`."""


# drip_lightning.nn.joint_denoiser

MID_BLOCK = "UNetMidBlock2DCrossAttn"

"""Of Stable Diffusion 1 and 2."""

CROSS_DOMAIN_MID_BLOCK = "UNetMidBlock2DCrossDomainAttn"

"""What a configuration says instead where attention spans both domains (DRIP Eq. 4). A plain `UNet2DConditionModel`,
which would take the weights and attend within each domain alone, knows no such block and says so."""

_OWN = ("latent_channels", "prompt_shape", "switcher", "attention")

"""What a joint denoiser's configuration holds beside its U-Net's."""

class JointDenoiser(ABC, ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Predicts both domains' noise (or velocity, or clean latents) at once.

    A model of diffusers: once it is told what it was made by (`describe`), it is saved and loaded as any.

    Args:
        prompt_embedding: (1, tokens, C) embedding of the empty prompt, stored with the weights.
    """

    prompt_embedding: Tensor
    new_layers: tuple[str, ...] = ("conv_in",)
    """Layers of its U-Nets that the pretrained ones lack or that changed their shape: never frozen."""

    def __init__(self, prompt_embedding: Tensor) -> None:
        super().__init__()
        self.register_buffer("prompt_embedding", prompt_embedding.detach().clone())

    @property
    @abstractmethod
    def unets(self) -> tuple[UNet2DConditionModel, ...]:
        """The U-Nets inside."""

    @abstractmethod
    def forward(self, noisy: Tensor, condition: Tensor, timestep: Tensor) -> Tensor:
        """Predict for both domains at once.

        Args:
            noisy: (2B, C, h, w) noisy latents, domains stacked.
            condition: (B, 2C, h, w) latents of image and trimap.
            timestep: (B,) timesteps in [0, T), shared by the two halves of a pair.

        Returns:
            (2B, C, h, w) in the schedule's prediction type, domains stacked.
        """

    def describe(self, *, latent_channels: int, switcher: Mapping[str, Any], attention: Mapping[str, Any]) -> None:
        """Note in `config` what it takes to make the same again.

        Args:
            latent_channels: Of one latent.
            switcher: What made it, as `choice_of` takes it.
            attention: How self-attention treats the two domains, in the same way.
        """
        unet = self.unets[0]
        crosses = any(isinstance(one, CrossDomainAttnProcessor) for one in unet.attn_processors.values())
        config = {name: value for name, value in unet.config.items() if not name.startswith("_")}
        self.register_to_config(
            **config | ({"mid_block_type": CROSS_DOMAIN_MID_BLOCK} if crosses else {}),
            latent_channels=latent_channels,
            prompt_shape=list(self.prompt_embedding.shape),
            switcher=dict(switcher),
            attention=dict(attention),
        )

    @classmethod
    def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """Make one from what `describe` noted, with random weights, as diffusers' `from_pretrained` asks."""
        unet = UNet2DConditionModel.from_config(narrow_config(config, config["latent_channels"]))
        attention = choice_of(config["attention"], DomainAttention)
        prompt_embedding = torch.zeros(config["prompt_shape"])
        made = choice_of(config["switcher"], Switcher).build(unet, prompt_embedding, attention=attention)
        made.register_to_config(**{name: value for name, value in config.items() if not name.startswith("_")})
        return (made, kwargs) if return_unused_kwargs else made

    @property
    def size_multiple(self) -> int:
        """Latent height and width must be divisible by this."""
        return 2 ** (len(self.unets[0].config["block_out_channels"]) - 1)

    def run(self, unet: UNet2DConditionModel, latents: Tensor, timestep: Tensor, **labels: Tensor) -> Tensor:
        """Run one of the U-Nets on (N, …) latents at (N,) timesteps under the empty prompt."""
        dtype = unet.conv_in.weight.dtype
        latents = latents.to(dtype).contiguous(memory_format=torch.channels_last)
        # the prompt is that of one sample: see `PromptAttnProcessor`
        labels = {name: label.to(dtype) for name, label in labels.items()}
        return unet(latents, timestep, encoder_hidden_states=self.prompt_embedding, **labels).sample

class Switcher(ABC):
    """A way of telling the two domains apart; it decides how the pretrained U-Net becomes the joint denoiser."""

    @abstractmethod
    def build(
        self, unet: UNet2DConditionModel, prompt_embedding: Tensor, *, attention: DomainAttention
    ) -> JointDenoiser:
        """Make the joint denoiser from a pretrained U-Net, whose weights are copied.

        Args:
            unet: Latent U-Net with as many input as output channels.
            prompt_embedding: (1, tokens, C) embedding of the empty prompt.
            attention: How self-attention treats the two domains.

        Raises:
            InputError: the attention does not go with this way.
        """

def narrow_config(config: Mapping[str, Any], latent_channels: int) -> dict[str, Any]:
    """The configuration of the U-Net that a joint denoiser was widened from, without diffusers' private entries.

    Args:
        config: The joint denoiser's, or that of its widened U-Net.
        latent_channels: Of one latent.
    """
    own = {name: value for name, value in config.items() if name not in _OWN and not name.startswith("_")}
    unwidened = {"class_embed_type": None, "projection_class_embeddings_input_dim": None, "mid_block_type": MID_BLOCK}
    return own | unwidened | {"in_channels": latent_channels, "out_channels": latent_channels}


# drip_lightning.nn.noise

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
class ZeroNoise(NoiseSampler):
    """No noise at all, for one deterministic step from zero (Garcia et al. 2024)."""

    def draw(self, shape: tuple[int, int, int], *, strength: float, generator: torch.Generator) -> Tensor:
        """Zeros; nothing is drawn."""
        return torch.zeros(shape, device=generator.device)


# drip_lightning.choices

class Replaceable:
    """Base of a dataclass in whose place a configuration may name a subclass: of a pure one jsonargparse takes none."""


# drip_lightning.ops.prediction

PredictionType = Literal["epsilon", "v_prediction", "sample"]


# drip_lightning.nn.solver

class Solver(ABC):
    """A choice of the method that sampling steps by."""

    @abstractmethod
    def build(self, settings: Mapping[str, Any], *, steps: int) -> Any:
        """Make a fresh one of diffusers' schedulers, or one like them, ready for its first step.

        It starts from noise of unit variance, takes its inputs unscaled, and one prediction a step, in which the step
        is linear, so that those of tiles can be blended.

        Args:
            settings: In diffusers' terms: `num_train_timesteps`, `beta_start`, `beta_end`, `beta_schedule`,
                `prediction_type`, `rescale_betas_zero_snr`, `timestep_spacing`, `steps_offset`, `solver_order`.
            steps: How many it is asked for.

        Raises:
            InputError: it does not go with the settings.
        """

@dataclass(frozen=True)
class DPMSolver(Solver):
    """Multistep DPM-Solver++ (Lu et al. 2022), the last step landing on the clean latent; of order 1 it is DDIM."""

    def build(self, settings: Mapping[str, Any], *, steps: int) -> DPMSolverMultistepScheduler:
        """Make it, with DDIM's timesteps where the spacing is leading: its own divide by one step more.

        Raises:
            InputError: the last leading timestep would lie beyond the schedule.
        """
        solver = DPMSolverMultistepScheduler(**settings, algorithm_type="dpmsolver++", final_sigmas_type="zero")
        if settings["timestep_spacing"] == "leading":
            solver.set_timesteps(timesteps=_leading(settings, steps))
        else:
            solver.set_timesteps(steps)
        return solver

def _leading(settings: Mapping[str, Any], steps: int) -> list[int]:
    total, offset = settings["num_train_timesteps"], settings["steps_offset"]
    timesteps = [place * (total // steps) + offset for place in reversed(range(steps))]
    if timesteps[0] >= total:
        raise InputError(
            f"{steps} leading steps with noise_schedule.steps_offset={offset} begin at timestep {timesteps[0]}, beyond "
            f"the last, {total - 1}: take fewer steps, or an offset of 0"
        )
    return timesteps


# drip_lightning.nn.noise_schedule

@dataclass(frozen=True)
class NoiseSchedule(Replaceable):
    """Betas, what the denoiser predicts, and how sampling spaces its steps; defaults are Stable Diffusion 2 base's.

    Attributes:
        prediction_type: What the denoiser predicts. SD 2 base is epsilon, SD 2 at 768 pixels v_prediction.
        num_train_timesteps: Length T of the training schedule.
        beta_start: First beta.
        beta_end: Last beta.
        beta_schedule: How betas run from first to last.
        zero_terminal_snr: Rescale the betas so that the last step is pure noise (Lin et al. 2024, Alg. 1).
        timestep_spacing: Which timesteps sampling visits. "trailing" starts at T and mends few-step sampling
            (Lin et al. 2024; Garcia et al. 2024); "leading" is that of diffusers' DDIM.
        steps_offset: Added to "leading" timesteps; 1 in Stable Diffusion.
        solver: The method that sampling steps by.
        solver_order: Of a multistep solver; 1 is DDIM.
        base: Whether the pretrained base's own schedule is to `keep`, so that another prediction type or other betas
            here are refused, or to `replace` by this one, which training then has to teach.
    """

    prediction_type: PredictionType = "epsilon"
    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "scaled_linear"
    zero_terminal_snr: bool = False
    timestep_spacing: Literal["trailing", "leading", "linspace"] = "trailing"
    steps_offset: int = 1
    solver: Solver = DPMSolver()  # noqa: RUF009 - frozen
    solver_order: Literal[1, 2, 3] = 2
    base: Literal["keep", "replace"] = "keep"

    def __post_init__(self) -> None:
        """Refuse a last step that tells an epsilon predictor nothing, or that sampling never visits."""
        if self.zero_terminal_snr and self.prediction_type == "epsilon":
            raise InputError(
                "zero_terminal_snr with prediction_type=epsilon is undefined at the last step: "
                "use v_prediction or sample, or leave zero_terminal_snr off"
            )
        if self.zero_terminal_snr and self.timestep_spacing == "leading":
            raise InputError(
                "zero_terminal_snr with timestep_spacing=leading: sampling would start from pure noise at a step that "
                "was trained on less; use trailing or linspace, or leave zero_terminal_snr off"
            )
        if self.steps_offset < 0:
            raise InputError(f"noise_schedule.steps_offset: expected 0 or more, got {self.steps_offset}")

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "NoiseSchedule":
        """Undo `solver_for`, from the `config` of a DPM-Solver++.

        Raises:
            InputError: it is another solver.
        """
        same = [*cls().settings(), "steps_offset", "solver_order"]
        same.remove("rescale_betas_zero_snr")
        if any(name not in config for name in same):
            raise InputError("scheduler: expected DPMSolverMultistepScheduler, as `drip export` writes it")
        made = cls(**{name: config[name] for name in same}, zero_terminal_snr=config["rescale_betas_zero_snr"])
        expected = made.solver_for(1).config
        for name, value in expected.items():
            if not name.startswith("_") and config.get(name, value) != value:
                raise InputError(f"scheduler: {name} {config[name]} is not what this sampler does, which is {value}")
        return made

    @property
    def is_usual(self) -> bool:
        """Whether it is this very class with DPM-Solver++: all of it is then in that solver's `config`, see `of`."""
        return type(self) is NoiseSchedule and type(self.solver) is DPMSolver

    def check_base(self, found: Mapping[str, Any]) -> None:
        """Compare with the schedule that the pretrained base was trained with, unless that is to be replaced.

        Args:
            found: The base's, as in `scheduler_config.json`; what it leaves out is diffusers' default.

        Raises:
            InputError: prediction type, betas or length differ.
        """
        if self.base == "replace":
            return
        bases = DDPMScheduler.from_config(dict(found)).config
        own = self.settings()
        names = [name for name in own if name != "timestep_spacing" and bases[name] != own[name]]
        names += [] if bases["trained_betas"] is None else ["trained_betas"]
        if names:
            told = ", ".join(f"{name} {bases[name]}, configured {own.get(name)}" for name in names)
            told = told.replace("rescale_betas_zero_snr", "zero_terminal_snr")
            raise InputError(
                f"noise_schedule contradicts the base's: {told}; set it to the base's, "
                "or noise_schedule.base to replace if fine-tuning shall change it"
            )

    def settings(self) -> dict[str, Any]:
        """Betas, prediction type and spacing, in diffusers' terms."""
        return {
            "num_train_timesteps": self.num_train_timesteps,
            "beta_start": self.beta_start,
            "beta_end": self.beta_end,
            "beta_schedule": self.beta_schedule,
            "prediction_type": self.prediction_type,
            "rescale_betas_zero_snr": self.zero_terminal_snr,
            "timestep_spacing": self.timestep_spacing,
        }

    def alphas_cumprod(self) -> Tensor:
        """The schedule's cumulated products (T,), float32, falling from nearly 1."""
        return DDPMScheduler(**self.settings(), clip_sample=False).alphas_cumprod

    def solver_for(self, steps: int) -> Any:
        """A fresh solver for `steps` steps: see `Solver.build`.

        Raises:
            InputError: it does not go with the schedule, or with how it is used.
        """
        solver = self.solver.build(
            {**self.settings(), "steps_offset": self.steps_offset, "solver_order": self.solver_order}, steps=steps
        )
        if len(solver.timesteps) != steps or solver.init_noise_sigma != 1:
            raise InputError(
                "noise_schedule.solver: expected one prediction a step, from noise of deviation 1; "
                f"{type(self.solver).__name__} makes {len(solver.timesteps)} in {steps} steps, from "
                f"{float(solver.init_noise_sigma):.3g}"
            )
        return solver


# drip_lightning.nn.transparency

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

class VaeDecoderModule(LatentDecoder):
    """The frozen VAE decoder alone: the paper's "without D_trans"."""

    def decode(self, image: Tensor, trimap: Tensor, pairs: LatentPairs, hints: Tensor) -> tuple[Tensor, Tensor]:
        """Return the VAE's foreground and alpha as they are."""
        return pairs.pictures


# drip_lightning.ops.solvers

import contextlib

import io

import warnings

from collections.abc import Iterator

import numba

numba.config.THREADING_LAYER = 'workqueue'

import pymatting

@contextlib.contextmanager
def silently() -> Iterator[None]:
    """Keep PyMatting from telling standard output, which is the user's, that a preconditioner took a second try."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        yield


# drip_lightning.ops.doubling

def double_tensors(coarse: Tensor, height: int, width: int) -> Tensor:
    """Enlarge (…, ceil(height / 2), ceil(width / 2)) to (…, height, width), edges repeated."""
    for axis, size in ((-2, height), (-1, width)):
        fine = torch.arange(size, device=coarse.device)
        near = fine // 2
        far = (near + 2 * (fine % 2) - 1).clamp(0, coarse.shape[axis] - 1)
        coarse = coarse.index_select(axis, near) * 0.75 + coarse.index_select(axis, far) * 0.25
    return coarse

@numba.njit(cache=True, error_model="numpy", nogil=True)
def double_row(coarse: np.ndarray, i: int, line: np.ndarray, row: np.ndarray) -> None:
    """Row i of the picture twice as large, linearly interpolated; `line` is room for a coarse row."""
    near = i // 2
    far = min(max(near + 2 * (i % 2) - 1, 0), coarse.shape[0] - 1)
    last = coarse.shape[1] - 1
    for j in range(last + 1):
        line[j] = coarse[near, j] * np.float32(0.75) + coarse[far, j] * np.float32(0.25)
    row[0] = line[0] * np.float32(0.75) + line[0] * np.float32(0.25)
    for j in range(last):
        row[2 * j + 1] = line[j] * np.float32(0.75) + line[j + 1] * np.float32(0.25)
        row[2 * j + 2] = line[j + 1] * np.float32(0.75) + line[j] * np.float32(0.25)
    row[2 * last + 1] = line[last] * np.float32(0.75) + line[last] * np.float32(0.25)


# drip_lightning.ops.padding

def pad_foreground_push_pull(foreground: Tensor, alpha: Tensor) -> Tensor:
    """Fill where alpha is 0 from a pyramid of alpha-weighted averages (push-pull, Gortler et al. 1996).

    Unlike Alg. 2 it spreads colours, never the black that lies beside them, and reaches any distance. The same values
    on every device.

    Args:
        foreground: (B, 3, H, W) uint8, straight colour.
        alpha: (B, 1, H, W) uint8.

    Returns:
        (B, 3, H, W) uint8: unchanged where alpha > 0; 0 throughout a sample whose alpha is 0 everywhere.
    """
    if foreground.device.type != "cpu":
        return _fill_tensors(foreground, alpha)
    result = torch.empty_like(foreground)
    for colour, weight, filled in zip(foreground.numpy(), alpha.numpy(), result.numpy(), strict=True):
        _fill_kernel(np.ascontiguousarray(colour), np.ascontiguousarray(weight[0]), filled)
    return result

def _fill_tensors(foreground: Tensor, alpha: Tensor) -> Tensor:
    """Push-pull with tensors: the order of every sum is the kernel's, so that the values are."""
    levels = [_push_tensors(foreground.float(), alpha.float())]
    while max(levels[-1][1].shape[-2:]) > 1:
        levels.append(_push_tensors(*levels[-1]))
    fill = levels[-1][0]
    for colour, weight in reversed(levels[:-1]):
        coarse = double_tensors(fill, colour.shape[-2], colour.shape[-1])
        fill = coarse + (colour - coarse) * (weight / 255)
    fill = double_tensors(fill, foreground.shape[-2], foreground.shape[-1])
    return torch.where(alpha > 0, foreground, fill.add(0.5).to(torch.uint8))

def _push_tensors(colour: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    height, width = weight.shape[-2:]
    colour, weight = (F.pad(level, (0, width % 2, 0, height % 2)) for level in (colour, weight))
    corners = [(weight[..., i::2, j::2], colour[..., i::2, j::2]) for i in (0, 1) for j in (0, 1)]
    total, mixed = corners[0][0], corners[0][0] * corners[0][1]
    for corner, tint in corners[1:]:
        total, mixed = total + corner, mixed + corner * tint
    return mixed / total.clamp_min(1), total.clamp_max(255)

def _fill_kernel(colour: np.ndarray, weight: np.ndarray, result: np.ndarray) -> None:
    levels = [_push(colour, weight)]
    while max(levels[-1][1].shape) > 1:
        levels.append(_push(*levels[-1]))
    fill = levels[-1][0]
    for level, certainty in reversed(levels[:-1]):
        _pull(level, certainty, fill)
        fill = level
    _fill(colour, weight, fill, result)

@numba.njit(cache=True, error_model="numpy", nogil=True)
def _push(colour: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average 2x2 pixels by weight; what lies beyond an odd edge weighs nothing."""
    height, width = weight.shape
    rows, columns = (height + 1) // 2, (width + 1) // 2
    pooled, certainty = np.empty((3, rows, columns), np.float32), np.empty((rows, columns), np.float32)
    above, below = np.zeros(2 * columns, np.float32), np.zeros(2 * columns, np.float32)
    upper, lower = np.zeros(2 * columns, np.float32), np.zeros(2 * columns, np.float32)
    for i in range(rows):
        last = min(2 * i + 1, height - 1)
        counts = np.float32(2 * i + 1 < height)
        for j in range(width):
            above[j], below[j] = np.float32(weight[2 * i, j]), np.float32(weight[last, j]) * counts
        for j in range(columns):
            total = above[2 * j] + above[2 * j + 1] + below[2 * j] + below[2 * j + 1]
            certainty[i, j] = min(total, np.float32(255))
        for k in range(3):
            for j in range(width):
                upper[j] = above[j] * np.float32(colour[k, 2 * i, j])
                lower[j] = below[j] * np.float32(colour[k, last, j])
            for j in range(columns):
                total = above[2 * j] + above[2 * j + 1] + below[2 * j] + below[2 * j + 1]
                mixed = upper[2 * j] + upper[2 * j + 1] + lower[2 * j] + lower[2 * j + 1]
                pooled[k, i, j] = mixed / max(total, np.float32(1))
    return pooled, certainty

@numba.njit(cache=True, error_model="numpy", nogil=True)
def _pull(colour: np.ndarray, weight: np.ndarray, coarse: np.ndarray) -> None:
    """Let coarse colours show through where a level is uncertain; changes `colour`."""
    line, row = np.empty(coarse.shape[2], np.float32), np.empty(2 * coarse.shape[2], np.float32)
    for k in range(3):
        for i in range(weight.shape[0]):
            double_row(coarse[k], i, line, row)
            for j in range(weight.shape[1]):
                colour[k, i, j] = row[j] + (colour[k, i, j] - row[j]) * (weight[i, j] / np.float32(255))

@numba.njit(cache=True, error_model="numpy", nogil=True)
def _fill(colour: np.ndarray, weight: np.ndarray, coarse: np.ndarray, result: np.ndarray) -> None:
    line, row = np.empty(coarse.shape[2], np.float32), np.empty(2 * coarse.shape[2], np.float32)
    for k in range(3):
        for i in range(weight.shape[0]):
            double_row(coarse[k], i, line, row)
            for j in range(weight.shape[1]):
                filled = np.uint8(np.int32(row[j] + np.float32(0.5)))
                result[k, i, j] = colour[k, i, j] if weight[i, j] > 0 else filled


# drip_lightning.ops.hints.colours

RAYS = 16

"""Rays to either side (8 are measurably worse, more are not better)."""

DISTANCE_WEIGHT = 0.05

"""Cost of a sample at its nearest like's distance, in units of colour error (the RGB cube's side is 1)."""

_SHIFTS = 3

_EXACT_SIDE = 4096

"""Up to this side, a ray's rounding to single precision never brings a pixel a step nearer than it is."""

_FIRST_REACH = 3

"""How far rays go at first, in units of the distance to the nearest pixel of their side: mostly far enough."""

_OUTSIDE = -1

"""In place of a distance, where the picture ends."""

def propagated_colours(image: Tensor, trimap: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Spread the sure pixels' colours into the unknown region by push-pull, and project between them.

    Args:
        image: (B, 3, H, W) in [0, 1], taken at 8 bits.
        trimap: (B, 1, H, W), 0, 0.5 or 1.

    Returns:
        Foreground (B, 3, H, W), background (B, 3, H, W) and alpha (B, 1, H, W), in [0, 1]; where the trimap is sure,
        the image's colour on that side and the trimap's alpha. A side without a sure pixel anywhere is black.
    """
    pixels = (image * 255).round().to(torch.uint8)
    foreground, background = (
        pad_foreground_push_pull(pixels, (trimap == side).to(torch.uint8) * 255) / 255 for side in (1, 0)
    )
    return foreground, background, torch.where(trimap == 0.5, projected_alpha(image, foreground, background), trimap)

def projected_alpha(image: Tensor, foreground: Tensor, background: Tensor) -> Tensor:
    """Alpha of the point nearest to the image on the line from background to foreground colour.

    Args:
        image: (B, 3, H, W).
        foreground: (B, 3, H, W).
        background: (B, 3, H, W).

    Returns:
        (B, 1, H, W) in [0, 1]; 0 where the two colours are the same.
    """
    line = foreground - background
    along = ((image - background) * line).sum(dim=1, keepdim=True)
    return (along / (line * line).sum(dim=1, keepdim=True).clamp_min(1e-6)).clamp(0, 1)

def sampled_colours(image: Tensor, trimap: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Choose for each unknown pixel the best pair of sure colours that rays from it meet first.

    Of the foreground and background pixels met by `RAYS` rays, the pair that minimises the distance between the pixel
    and the line of the two colours plus `DISTANCE_WEIGHT` times both samples' distances, each relative to the nearest
    of its side (after Gastal and Oliveira 2010, "Shared sampling for real-time alpha matting"). Neighbours' rays are
    turned against each other in a pattern of 3 × 3 pixels. Where no ray meets a side, `propagated_colours` stand in.

    Arguments and results are those of `propagated_colours`. Computed on the CPU.
    """
    picture, sides = image.detach().float().cpu(), (trimap.cpu() * 2).to(torch.uint8)
    foreground, background, _ = propagated_colours(picture, trimap.cpu())
    found = torch.stack([background, foreground], dim=1)
    pixels = picture.permute(0, 2, 3, 1).contiguous().numpy()
    for one, side, colours in zip(pixels, sides[:, 0].numpy(), found.numpy(), strict=True):
        _sample(one.reshape(-1, 3), side, _distances(side, 0), _distances(side, 2), _DIRECTIONS, colours)
    background, foreground = found.to(image).unbind(dim=1)
    return foreground, background, torch.where(trimap == 0.5, projected_alpha(image, foreground, background), trimap)

def _ray_directions() -> np.ndarray:
    """Unit steps (row, column) of each ray in each of the shifted patterns: (9, 2, RAYS) float32."""
    turns = (np.arange(RAYS) + np.arange(_SHIFTS**2)[:, None] / _SHIFTS**2) * (2 * math.pi / RAYS)
    return np.stack([np.sin(turns), np.cos(turns)], axis=1).astype(np.float32)

_DIRECTIONS = _ray_directions()

@numba.njit(cache=True, error_model="numpy", nogil=True)
def _distances(sides: np.ndarray, side: int) -> np.ndarray:
    """Chessboard distance to the nearest pixel of a side, at most 32767: so far a ray can go without looking.

    ((H + 2)·(W + 2),), with a margin of one pixel that is `_OUTSIDE`.
    """
    height, width = sides.shape
    padded = np.full((height + 2, width + 2), 32767, np.int32)
    for i in range(1, height + 1):
        for j in range(1, width + 1):
            above = min(padded[i - 1, j - 1], padded[i - 1, j], padded[i - 1, j + 1], padded[i, j - 1])
            padded[i, j] = 0 if sides[i - 1, j - 1] == side else min(above + 1, 32767)
    for i in range(height, 0, -1):
        for j in range(width, 0, -1):
            below = min(padded[i + 1, j + 1], padded[i + 1, j], padded[i + 1, j - 1], padded[i, j + 1])
            padded[i, j] = min(padded[i, j], below + 1)
    padded[0], padded[-1], padded[:, 0], padded[:, -1] = _OUTSIDE, _OUTSIDE, _OUTSIDE, _OUTSIDE
    return padded.astype(np.int16).ravel()

@numba.njit(cache=True, error_model="numpy", nogil=True)
def _march(
    distances: np.ndarray,
    size: tuple[int, int],
    pattern: np.ndarray,
    i: int,
    j: int,
    reach: int,
    rays: np.ndarray,
) -> None:
    """Have rays from (i, j) go on, until each has met a pixel of one side, left the picture or come beyond `reach`.

    All rays go on together, each as far as it can without looking. No branch depends on one of them, so that loops over
    rays become vector operations. Places are unsigned where they are looked up, since Numba would look at each signed
    one whether it counts from the end.

    Args:
        distances: To the side's nearest pixel, with its margin.
        size: H and W.
        pattern: (2, RAYS) directions.
        i: Row.
        j: Column.
        reach: Pixels.
        rays: (3, RAYS) int32: how far each one is, the place where it looked last, and what it saw: 0 if it has met a
            pixel, `_OUTSIDE` if it left the picture.
    """
    distance, place, leap = rays[0], rays[1], rays[2]
    height, width, across = np.float32(size[0]), np.float32(size[1]), np.int32(size[1] + 2)
    zero, one = np.int32(0), np.int32(1)
    slack = _slack(size)
    middle_row, middle_column = np.float32(i) + np.float32(0.5), np.float32(j) + np.float32(0.5)
    moving = one
    while moving:
        for ray in range(RAYS):
            down = middle_row + pattern[0, ray] * np.float32(distance[ray])
            right = middle_column + pattern[1, ray] * np.float32(distance[ray])
            row, column = np.int32(min(down, height)) + one, np.int32(min(right, width)) + one
            row, column = row if down >= 0 else zero, column if right >= 0 else zero
            place[ray] = row * across + column
        for ray in range(RAYS):
            leap[ray] = distances[np.uint64(place[ray])]
        moving = zero
        for ray in range(RAYS):
            ahead = max(leap[ray] - slack, one) if leap[ray] > 0 else zero
            distance[ray] += ahead
            moving |= ahead if distance[ray] <= reach else zero

@numba.njit(cache=True, error_model="numpy", nogil=True)
def _slack(size: tuple[int, int]) -> np.int32:
    """By how much less rays leap in large pictures: off the axes they come 0.001 short of a pixel a step elsewhere."""
    return np.int32(1) if max(size) > _EXACT_SIDE else np.int32(0)

@numba.njit(cache=True, error_model="numpy", nogil=True)
def _collect(image: np.ndarray, width: int, rays: np.ndarray, met: np.ndarray) -> tuple[int, np.float32, np.float32]:
    """What the rays have met so far.

    Args:
        image: (H·W, 3).
        width: W.
        rays: As `_march` leaves them.
        met: (4, RAYS), where to put red, green, blue and the distance's cost.

    Returns:
        How many pixels were met, the nearest one's distance, and what one that is still to come would cost at least: 0
        if it may be the nearest, infinitely much if there is none.
    """
    across, weight = np.int32(width + 2), np.float32(DISTANCE_WEIGHT)
    count, nearest, ahead = 0, np.float32(np.inf), np.float32(np.inf)
    for ray in range(RAYS):
        distance, place, leap = np.float32(rays[0, ray]), rays[1, ray], rays[2, ray]
        if leap > 0:
            ahead = min(ahead, distance)
        elif leap == 0:
            pixel = np.uint64((place // across - 1) * width + place % across - 1)
            for channel in range(3):
                met[channel, count] = image[pixel, np.uint64(channel)]
            met[3, count] = distance
            nearest = min(nearest, distance)
            count += 1
    for one in range(count):
        met[3, one] = weight * met[3, one] / nearest
    if ahead < np.inf:
        ahead = weight * ahead / nearest if nearest < ahead else np.float32(0)
    return count, nearest, ahead

@numba.njit(cache=True, error_model="numpy", nogil=True)
def _best_pair(
    red: float, green: float, blue: float, met: np.ndarray, counts: np.ndarray
) -> tuple[int, int, np.float32]:
    """Which background and which foreground pixel of `met` explain a colour best, and at which cost."""
    zero, one, tiny = np.float32(0), np.float32(1), np.float32(1e-6)
    cost = np.empty(met.shape[2], np.float32)
    least, best = np.float32(np.inf), (0, 0)
    back, front = met[0], met[1]
    nearest = back[3, : counts[0]].min()
    for f in range(counts[1]):
        if front[3, f] + nearest >= least:
            continue
        for b in range(counts[0]):  # no branch and no sum over b: one vector operation each
            line_red, off_red = front[0, f] - back[0, b], red - back[0, b]
            line_green, off_green = front[1, f] - back[1, b], green - back[1, b]
            line_blue, off_blue = front[2, f] - back[2, b], blue - back[2, b]
            length = line_red * line_red + line_green * line_green + line_blue * line_blue
            along = off_red * line_red + off_green * line_green + off_blue * line_blue
            share = min(max(along / max(length, tiny), zero), one)
            off_red -= share * line_red
            off_green -= share * line_green
            off_blue -= share * line_blue
            error = math.sqrt(off_red * off_red + off_green * off_green + off_blue * off_blue)
            cost[b] = error + (front[3, f] + back[3, b])
        for b in range(counts[0]):
            if cost[b] < least:
                least, best = cost[b], (b, f)
    return best[0], best[1], least

@numba.njit(cache=True, error_model="numpy", nogil=True)
def _sample(
    image: np.ndarray,
    sides: np.ndarray,
    to_background: np.ndarray,
    to_foreground: np.ndarray,
    directions: np.ndarray,
    found: np.ndarray,
) -> None:
    """Replace `found`, (2, 3, H, W) background and foreground colours, where `sides` is 1 and rays meet a side.

    Rays go on only as long as a pixel that is still to come could make a cheaper pair than the best of those met.
    """
    rays, met, counts = np.empty((2, 3, RAYS), np.int32), np.empty((2, 4, RAYS), np.float32), np.empty(2, np.int64)
    reach, nearest, ahead = np.empty(2, np.int32), np.empty(2, np.float32), np.empty(2, np.float32)
    goes_on, weight = np.empty(2, np.bool_), np.float32(DISTANCE_WEIGHT)
    distances, size = (to_background, to_foreground), sides.shape
    height, width = size
    for i in range(height):
        for j in range(width):
            if sides[i, j] != 1:
                continue
            pattern = directions[(i % _SHIFTS) * _SHIFTS + j % _SHIFTS]
            own = image[i * width + j]
            for side in range(2):
                start = np.int32(distances[side][np.uint64((i + 1) * (width + 2) + j + 1)]) - _slack(size)
                rays[side, 0] = max(start, np.int32(1))
                reach[side], goes_on[side] = _FIRST_REACH * rays[side, 0, 0], True
            back = front = 0
            while goes_on[0] or goes_on[1]:
                for side in range(2):
                    if goes_on[side]:
                        _march(distances[side], size, pattern, i, j, reach[side], rays[side])
                        counts[side], nearest[side], ahead[side] = _collect(image, width, rays[side], met[side])
                    if counts[side] == 0 and ahead[side] == np.inf:
                        met[side, :3, 0], met[side, 3, 0] = found[side, :, i, j], weight
                        counts[side] = 1
                    goes_on[side] = ahead[side] == 0
                    if goes_on[side]:
                        reach[side] *= _FIRST_REACH
                if goes_on[0] or goes_on[1]:
                    continue
                back, front, least = _best_pair(own[0], own[1], own[2], met, counts)
                for side in range(2):
                    other = met[1 - side, 3, : counts[1 - side]].min()
                    if ahead[side] + other <= least:
                        reach[side], goes_on[side] = np.int32((least - other) / weight * nearest[side]) + 1, True
            for channel in range(3):
                found[0, channel, i, j], found[1, channel, i, j] = met[0, channel, back], met[1, channel, front]


# drip_lightning.ops.hints.closed_form

ITERATIONS = 600

"""Of the solver at most: pictures take tens, and what is too flat to be solved would take minutes to find that out."""

DISCARDED = 1e-3

"""Below which the preconditioner leaves entries out. PyMatting's own 1e-4 takes longer to make than it saves."""

def closed_form_colours(image: Tensor, trimap: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Alpha by closed-form matting (Levin et al. 2008), colours by multilevel estimation (Germer et al. 2020).

    Arguments and results are those of `propagated_colours`, which stand in for a picture that lacks sure pixels of a
    side, or whose equations cannot be solved (a crop may be flat, or nearly). Computed on the CPU in double precision.
    """
    pictures, sides = image.detach().float().cpu(), trimap.cpu()
    solved = [
        _solve(picture, side) or [one[0] for one in propagated_colours(picture[None], side[None])]
        for picture, side in zip(pictures, sides, strict=True)
    ]
    foreground, background, alpha = (torch.stack(maps).to(image) for maps in zip(*solved, strict=True))
    return foreground, background, torch.where(trimap == 0.5, alpha, trimap)

def multilevel_foreground(image: Tensor, alpha: Tensor) -> Tensor:
    """The foreground (B, 3, H, W) by multilevel estimation (Germer et al. 2020), given alpha (B, 1, H, W) in [0, 1]."""
    pairs = zip(image.detach().float().cpu(), alpha.detach().float().cpu(), strict=True)
    found = [pymatting.estimate_foreground_ml(_pixels(picture), matte[0].double().numpy()) for picture, matte in pairs]
    return torch.stack([_maps(one) for one in found]).to(image)

def _solve(picture: Tensor, sides: Tensor) -> list[Tensor] | None:
    """Foreground, background (3, H, W) and alpha (1, H, W); none where the equations have no solution."""
    if not all((sides == side).any() for side in (0, 0.5, 1)):
        return None
    pixels = _pixels(picture)
    try:
        with silently():
            known = sides[0].double().numpy()
            alpha = pymatting.estimate_alpha_cf(pixels, known, _preconditioner, cg_kwargs={"maxiter": ITERATIONS})
        alpha = np.nan_to_num(alpha, nan=0.5)
        colours = pymatting.estimate_foreground_ml(pixels, alpha, return_background=True)
    except (ArithmeticError, ValueError):  # a system that is singular, or does not converge
        return None
    return [_maps(found) for found in (*colours, alpha[..., None])]

def _pixels(picture: Tensor) -> np.ndarray:
    return picture.double().permute(1, 2, 0).contiguous().numpy()

def _maps(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).clamp(0, 1).float()

def _preconditioner(equations: Any) -> Callable[[np.ndarray], np.ndarray]:
    return pymatting.ichol(equations, discard_threshold=DISCARDED)


# drip_lightning.ops.hints.choice

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

        return (closed_form_colours, sampled_colours, propagated_colours)

    def foreground(self, image: Tensor, alpha: Tensor, answered: Tensor) -> Tensor:
        """The mean of it and of `multilevel_foreground`, if `average_foreground` says so."""
        if not self.average_foreground:
            return answered

        return (answered + multilevel_foreground(image, alpha)) / 2


# drip_lightning.ops.trimap

def unknown_mask(trimap: Tensor) -> Tensor:
    """Where a trimap of any shape is unknown: true there, false elsewhere."""
    return trimap == 0.5

def quantise_trimap(gray: Tensor) -> Tensor:
    """Read a trimap from the grey values of a file: 0 is background, 255 is foreground, anything between unknown.

    Args:
        gray: Any shape, in [0, 1]: the file's 8-bit values / 255 (files say unknown as 127, 128 or other values).

    Returns:
        The same shape and dtype, exactly 0, 0.5 or 1.
    """
    value = (gray * 255).round()
    return _trimap(maybe_foreground=value > 0, maybe_background=value < 255, dtype=gray.dtype)

def _trimap(*, maybe_foreground: Tensor, maybe_background: Tensor, dtype: torch.dtype) -> Tensor:
    if not dtype.is_floating_point:
        return maybe_foreground.to(dtype) * 128 + (1 - maybe_background.to(dtype)) * 127
    return (maybe_foreground.to(dtype) + 1 - maybe_background.to(dtype)) / 2


# drip_lightning.ops.sizes

REDUCTIONS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)

"""How many times smaller the denoiser may see a picture. Few factors, so that tiles need not be larger than networks
and latents have them; a picture for which the last is not enough is denoised in tiles."""

OVERLAP = 8

"""Neighbouring tiles share at least this part of their side: an eighth."""

@dataclass(frozen=True)
class Multiples:
    """What the networks' sizes must be multiples of.

    Attributes:
        latent: Pixels to a latent's side.
        denoiser: Of its latents.
        decoder: Of the transparency decoder's pictures.
        reduction: How many times smaller than the decoder's pictures the denoiser's were in training.
    """

    latent: int
    denoiser: int
    decoder: int
    reduction: int

    @property
    def seen(self) -> int:
        """Of the picture that the denoiser sees."""
        return self.latent * self.denoiser

    def tile(self, reduction: int) -> int:
        """Of the decoder's tiles, so that they hold whole latents."""
        return math.lcm(reduction * self.latent, self.decoder)

    def picture(self, reduction: int) -> int:
        """Of the part of the picture that is worked on."""
        return math.lcm(reduction * self.seen, self.decoder)

@dataclass(frozen=True)
class Layout:
    """Where in one picture the networks work, and at which scale.

    Attributes:
        window: What is worked on, in pixels of the picture.
        reduction: How many times smaller the denoiser sees it.
        tiles: The transparency decoder's, in pixels of the picture.
        seen: The denoiser's and the VAE's, in pixels that the denoiser sees, counted from the window's upper left.
    """

    window: Window
    reduction: int
    tiles: Tiles
    seen: Tiles

@dataclass(frozen=True)
class Sizes:
    """How pictures of any size are brought to what networks were trained for and memory allows.

    Attributes:
        processing_size: Longest side, in pixels, of what the denoiser sees, at which it works in one go; none for the
            scale of its training, in tiles where a picture exceeds `tile_size`.
        tile_size: Side, in pixels, of the tiles in which VAE, denoiser and transparency decoder work; none for the
            whole picture at once.
        context: Pixels around the unknown region that are looked at, at least; further ones are left as they are.
        denoiser_tile_size: Side of the denoiser's and the VAE's tiles, where it must be smaller than these say.
    """

    processing_size: int | None = None
    tile_size: int | None = 512
    context: int = 64
    denoiser_tile_size: int | None = None

    def check(self, multiples: Multiples) -> None:
        """Refuse what no picture could be brought to.

        Raises:
            InputError: processing size or tile size is too small for the networks.
        """
        if self.processing_size is not None and self.processing_size < multiples.seen:
            raise InputError(
                f"processing size: expected at least {multiples.seen}, of which the denoiser needs multiples, got "
                f"{self.processing_size}"
            )
        least = 2 * max(multiples.seen, multiples.tile(multiples.reduction))
        if self.tile_size is not None and self.tile_size < least:
            raise InputError(f"tile size: expected at least {least} for these networks, got {self.tile_size}")

    def layout(self, trimap: Tensor, multiples: Multiples) -> Layout | None:
        """Lay tiles over what is unknown of a picture.

        Args:
            trimap: (1, 1, H, W), 0, 0.5 or 1.
            multiples: What the networks want.

        Returns:
            None if nothing is unknown.
        """
        unknown = unknown_mask(trimap)
        box, size = unknown_window(unknown), (trimap.shape[-2], trimap.shape[-1])
        if box is None:
            return None
        for reduction in self._reductions(multiples.reduction):
            window = widened(box, self.context, multiples.picture(reduction), size)
            if self.processing_size is None or max(window.size) <= self.processing_size * reduction:
                break
        multiple = multiples.tile(reduction)
        reach = window.within(size)
        decoded = Window(window.top, window.left, *(round_up(side, multiple) for side in reach.size))
        step = reduction * multiples.latent
        tiles = _tiles(decoded, self.tile_size, multiple, step).where(lambda tile: bool(tile.view(unknown).any()))
        shown = Window(0, 0, window.height // reduction, window.width // reduction)
        needed = torch.zeros(shown.over(multiples.latent).size, dtype=torch.bool)  # latents that tiles are decoded from
        for tile in tiles.each:
            tile.relative_to(window).over(step).view(needed).fill_(True)
        seen = _tiles(shown, self.denoiser_side, multiples.seen, multiples.latent)
        seen = seen.where(lambda tile: bool(tile.over(multiples.latent).view(needed).any()))
        return Layout(window, reduction, tiles, seen)

    @property
    def denoiser_side(self) -> int | None:
        """Side of the denoiser's and the VAE's tiles at most; none for all that they see at once."""
        return self.denoiser_tile_size or self.processing_size or self.tile_size

    def _reductions(self, least: int) -> Iterator[int]:
        yield least
        if self.processing_size is not None:
            yield from (factor for factor in REDUCTIONS if factor > least)

def _tiles(window: Window, side: int | None, multiple: int, step: int) -> Tiles:
    """Tiles with sides of what the networks want and an eighth of it as overlap, and not too few.

    The overlap is a multiple of the same, or, where that is more than a quarter of the side, of a latent's `step`: a
    tile's place need be no more.
    """
    largest = max(window.size)
    if side is None or side >= largest:
        return Tiles.cover(window, largest, 0)
    side = max(side // multiple, 2) * multiple
    unit = multiple if 4 * multiple <= side else step
    return Tiles.cover(window, side, max(side // OVERLAP // unit, 1) * unit, multiple)


# drip_lightning.memory

UNKNOWN = 2**62

"""Bytes, where nobody tells."""

_CGROUP = Path("/sys/fs/cgroup")

def available_bytes(cgroup: Path = _CGROUP) -> int:
    """Memory that is free or can be freed at once: the machine's, or the container's if that is less.

    Args:
        cgroup: Folder of the process's control group, version 2; none there, none considered.
    """
    psutil = _psutil()
    available = UNKNOWN if psutil is None else int(psutil.virtual_memory().available)
    try:
        limit, used = (cgroup / "memory.max").read_text().strip(), int((cgroup / "memory.current").read_text())
    except FileNotFoundError:
        return available
    return available if limit == "max" else min(available, int(limit) - used)

def resident_bytes() -> int:
    """Memory that this process holds; 0 where nobody tells."""
    psutil = _psutil()
    return 0 if psutil is None else int(psutil.Process().memory_info().rss)

def _psutil() -> Any:
    """This package brings it along; code that an exported folder carries may be without."""
    try:
        import psutil  # diffusers' check of such code demands what an import names in a line of its own
    except ImportError:
        return None
    return psutil


# drip_lightning.nn.picture

WHOLE_HINTS_SIDE = 512

"""Hints of a whole picture, for tiles that lack sure pixels, are computed at this longest side at most."""

SURE_SHARE = 0.01

"""Of a tile's area: how much must be sure background, and how much foreground, for hints to go by."""

@dataclass(frozen=True, eq=False)
class PictureInTiles:
    """A picture, and where in it the networks work.

    Each normalisation takes its statistics from the tile, as it did in training from a crop of about that size.

    Attributes:
        image: (1, 3, H, W) in [0, 1].
        trimap: (1, 1, H, W), 0, 0.5 or 1.
        layout: Made of the trimap.
        hints: What the decoders are given besides.
        finished: Called after each tile of each network.
    """

    image: Tensor
    trimap: Tensor
    layout: Layout
    hints: Hints
    finished: Callable[[], None]

    def encode(self, codec: LatentCodec, shown: Callable[[Window, int], Sequence[Tensor]]) -> tuple[Tensor, ...]:
        """Encode what the denoiser is shown: for each of its pictures, latents (1, C, h, w) of the layout's window.

        Args:
            codec: The VAE.
            shown: From a window of the picture and the reduction to pictures (1, 3 or 1, h, w) that are that much
                smaller than it.
        """
        reduction, window = self.layout.reduction, self.layout.window

        def run(tile: Window) -> Tensor:
            place = tile.times(codec.downsampling * reduction).placed_in(window)
            latents = codec.encode(*shown(place, reduction))
            self.finished()
            return torch.cat(latents, dim=1)

        return self.layout.seen.over(codec.downsampling).blend(run).split(codec.channels, dim=1)

    def denoise(
        self, joint_unet: JointDenoiser, condition: Tensor, downsampling: int
    ) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """The denoiser under a condition (1, 2C, h, w), as `sample_latents` calls it.

        Tiles' predictions are blended at every step. A solver's step is linear in them, so that this is to blend the
        latents themselves.
        """
        tiles = self.layout.seen.over(downsampling)

        def run(noisy: Tensor, timesteps: Tensor, places: Tensor) -> Tensor:
            def predict(tile: Window) -> Tensor:
                prediction = joint_unet(tile.cut(noisy), tile.cut(condition), timesteps)
                self.finished()
                return prediction

            return tiles.blend(predict)

        return run

    def pairs(self, codec: LatentCodec, latents: Tensor) -> LatentPairs:
        """Sampled latents (2, C, h, w) of the layout's window, which the VAE decodes in the denoiser's tiles."""
        return LatentPairs(codec, latents, self.layout.reduction, self.layout.seen, finished=self.finished)

    def decode(self, decoders: Sequence[LatentDecoder], pairs: LatentPairs) -> Tensor:
        """Decode by each of the decoders, in the layout's tiles.

        Returns:
            (1, 4 · decoders, H, W) of the tiles' window: of each foreground and alpha in [0, 1].
        """
        pixels = self.layout.reduction * pairs.codec.downsampling

        def run(tile: Window) -> Tensor:
            part = pairs.part(tile.relative_to(self.layout.window).over(pixels))
            maps = tile.cut(self.image), tile.cut(self.trimap), part, self.hints_in(tile)
            decoded = [one for decoder in decoders for one in self._decoded(decoder, *maps)]
            self.finished()
            return torch.cat(decoded, dim=1)

        return self.layout.tiles.blend(run)

    def _decoded(
        self, decoder: LatentDecoder, image: Tensor, trimap: Tensor, pairs: LatentPairs, hints: Tensor
    ) -> tuple[Tensor, Tensor]:
        foreground, alpha = (maps.clamp(0, 1) for maps in decoder.decode(image, trimap, pairs, hints))
        if decoder.hints:
            foreground = self.hints.foreground(image, torch.where(trimap == 0.5, alpha, trimap), foreground)
        return foreground, alpha

    def hints_in(self, tile: Window) -> Tensor:
        """The hints of a tile (1, 7 · guesses, height, width): its own, if enough of it is sure on both sides.

        If not, they are those of the tile and half its side around it, at half the scale, if that is enough; else
        those of the whole window, at a smaller scale if that is large.
        """
        place = tile.within((self.image.shape[-2], self.image.shape[-1]))
        if len(self.layout.tiles.each) == 1 or not self.hints.guesses or self._is_sure(place, place):
            return repeat_edge(self._hints_of(place, 1), tile.size)
        near = widened(place.relative_to(self._reach), max(place.size) // 2, 2, self._reach.size)
        near = near.placed_in(self._reach)
        if self._is_sure(near, place):
            seen, factor, maps = near, 2, self._hints_of(near, 2)
        else:
            seen, (factor, maps) = self._reach, self._whole_hints
        return repeat_edge(_enlarged(maps, place.relative_to(seen), factor), tile.size)

    def _is_sure(self, seen: Window, place: Window) -> bool:
        """Whether a part of the picture has sure pixels enough for the hints of a tile."""
        trimap, enough = seen.view(self.trimap), SURE_SHARE * place.height * place.width
        return all((trimap == side).sum() >= enough for side in (0, 1))

    def _hints_of(self, seen: Window, factor: int) -> Tensor:
        """Hints of a part of the picture, that many times smaller."""
        seen = Window(seen.top, seen.left, round_up(seen.height, factor), round_up(seen.width, factor))
        return self.hints(reduce_picture(seen.cut(self.image), factor), reduce_trimap(seen.cut(self.trimap), factor))

    @cached_property
    def _whole_hints(self) -> tuple[int, Tensor]:
        """How many times smaller they are, and hints of what the layout's window reaches of the picture."""
        factor = -(-max(self._reach.size) // WHOLE_HINTS_SIDE)
        return factor, self._hints_of(self._reach, factor)

    @cached_property
    def _reach(self) -> Window:
        """The layout's window, as far as the picture reaches."""
        return self.layout.window.within((self.image.shape[-2], self.image.shape[-1]))

def _enlarged(maps: Tensor, place: Window, factor: int) -> Tensor:
    """What maps that are `factor` times smaller have at a place."""
    top, left = place.top // factor, place.left // factor
    height = round_up(place.top + place.height, factor) // factor - top
    width = round_up(place.left + place.width, factor) // factor - left
    enlarged = enlarge_picture(Window(top, left, height, width).view(maps), factor)
    return Window(place.top - top * factor, place.left - left * factor, *place.size).view(enlarged)


# drip_lightning.nn.activation_memory

Networks = TypeVar("Networks")

def peak_bytes(networks: Networks, run: Callable[[Networks], Any]) -> int:
    """The most that the tensors which a computation makes hold at any time, the networks' own not counted.

    Libraries' scratch memory is not in it. Arguments are those of `run_without_content`.
    """
    peak = Peak()
    run_without_content(networks, run, peak)
    return peak.most

def run_without_content(
    networks: Networks, run: Callable[[Networks], Any], counter: AbstractContextManager[Any]
) -> None:
    """Run networks on tensors that have a shape alone.

    Args:
        networks: Modules, or a tuple of them; they are copied without content, and so left as they are.
        run: From that copy; makes its own inputs.
        counter: Within which it runs.
    """
    mode = FakeTensorMode()
    with FakeCopyMode(mode):
        empty = copy.deepcopy(networks)
    with mode, counter, torch.no_grad():
        run(empty)

class Peak(TorchDispatchMode):
    """Follows the storages that operations make until nobody holds them.

    Attributes:
        held: Their bytes now.
        most: The most of it so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held = self.most = 0
        self._followed: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {id(one.untyped_storage()) for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        result = func(*args, **(kwargs or {}))
        for one in tree_leaves(result):
            if not isinstance(one, Tensor):
                continue
            storage = one.untyped_storage()
            if id(storage) in given or storage in self._followed:
                continue
            self._followed.add(storage)
            self.held += storage.nbytes()
            weakref.finalize(storage, self._release, storage.nbytes())
        self.most = max(self.most, self.held)
        return result

    def _release(self, size: int) -> None:
        self.held -= size


# drip_lightning.nn.memory_bound

RESERVE = 0.1

"""Share of what is free that is left for others."""

SCRATCH = 1.5

"""By which activations are multiplied for what libraries take besides: an estimate."""

PICTURE_BYTES = 48

"""For each pixel of the picture: foreground and alpha (16), and what it takes to put them together."""

WINDOW_BYTES = 22

"""For each pixel of the window and each decoder: blended foreground, alpha (16) and weights (4), what is covered."""

MEASURED_SIDE = 512

"""At which activations are counted; they grow with the area."""

ANY_NETWORK = 2**14

"""Bytes a pixel that no network here needs: where there are so many, nothing is counted."""

@dataclass(frozen=True)
class MemoryBound:
    """How much memory a picture may take.

    Attributes:
        limit: Bytes of the whole process, on a GPU of all that PyTorch holds there; none for what is free.
    """

    limit: int | None = None

    def left(self, device: torch.device) -> int:
        """Bytes that may be taken now, beside what is held already."""
        if device.type == "cuda":
            held = torch.cuda.memory_allocated(device)
            free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - held
        elif device.type == "cpu":
            held, free = resident_bytes(), available_bytes()
        else:  # no other tells
            return self.limit or UNKNOWN
        return int(free * (1 - RESERVE)) if self.limit is None else self.limit - held

@dataclass(frozen=True)
class Need:
    """Bytes for each pixel of a tile, beside the picture: of what the denoiser sees, and of what D_trans does."""

    seen: float
    tile: float
    hints: float = 0

    def fixed(self, layout: Layout, picture: int, decoders: int) -> int:
        """Bytes that tiles of any size need: the picture's pixels, and the blended results."""
        seen = layout.seen.window.height * layout.seen.window.width
        window = layout.tiles.window.height * layout.tiles.window.width
        whole_hints = min(window, WHOLE_HINTS_SIDE**2) * self.hints if len(layout.tiles.each) > 1 else 0
        return int(picture * PICTURE_BYTES + window * WINDOW_BYTES * decoders + seen * WINDOW_BYTES + whole_hints)

    def seen_tile(self, layout: Layout) -> int:
        """Bytes of the denoiser's largest tile."""
        return int(max(tile.height * tile.width for tile in layout.seen.each) * self.seen)

    def decoded_tile(self, layout: Layout) -> int:
        """Bytes of the transparency decoder's largest tile, and its hints."""
        return int(max(tile.height * tile.width for tile in layout.tiles.each) * (self.tile + self.hints))

    def all_of(self, layout: Layout, picture: int, decoders: int) -> int:
        """The most bytes that are taken at once."""
        fixed = self.fixed(layout, picture, decoders)
        return fixed + max(self.seen_tile(layout), self.decoded_tile(layout))

_counted: "WeakKeyDictionary[torch.nn.Module, Need]" = WeakKeyDictionary()

def need_of(
    codec: LatentCodec, joint_unet: JointDenoiser, decoder: LatentDecoder, hints: Hints, multiples: Multiples
) -> Need:
    """Count what one picture's tiles need; a second time it is known."""
    if decoder not in _counted:
        _counted[decoder] = _count(codec, joint_unet, decoder, hints, multiples)
    return _counted[decoder]

def _count(
    codec: LatentCodec, joint_unet: JointDenoiser, decoder: LatentDecoder, hints: Hints, multiples: Multiples
) -> Need:
    reduction = multiples.reduction
    side = round_up(MEASURED_SIDE, multiples.picture(reduction))
    latent, shape = side // codec.downsampling, (1, codec.channels)

    def encode(own: LatentCodec) -> Tensor:
        return torch.cat(own.encode(torch.empty(1, 3, side, side), torch.empty(1, 1, side, side)))

    def denoise(own: JointDenoiser) -> Tensor:
        noisy, condition = torch.empty(2, shape[1], latent, latent), torch.empty(1, 2 * shape[1], latent, latent)
        return own(noisy, condition, torch.empty(1))

    def decode_latents(own: LatentCodec) -> tuple[Tensor, Tensor]:
        return own.decode(torch.empty(2, shape[1], latent, latent))

    def decode(own: tuple[LatentCodec, LatentDecoder]) -> tuple[Tensor, Tensor]:
        pairs = LatentPairs(own[0], torch.empty(2, shape[1], latent // reduction, latent // reduction), reduction)
        image, trimap, guesses = (torch.empty(1, channels, side, side) for channels in (3, 1, hints.channels))
        return own[1].decode(image, trimap, pairs, guesses)

    seen = max(peak_bytes(codec, encode), peak_bytes(codec, decode_latents), peak_bytes(joint_unet, denoise))
    tile = peak_bytes((codec, decoder), decode)
    return Need(SCRATCH * seen / side**2, SCRATCH * tile / side**2, hints.bytes_per_pixel if hints.guesses else 0)

def fitted(sizes: Sizes, trimap: Tensor, multiples: Multiples, need: Need, *, decoders: int, left: int) -> Layout:
    """Lay out a picture with the largest tiles, not larger than `sizes` says, for which memory is enough.

    Args:
        sizes: What is wanted.
        trimap: (1, 1, H, W), somewhere unknown.
        multiples: What the networks want.
        need: What their tiles need.
        decoders: How many of them decode each tile.
        left: Bytes that may be taken.

    Raises:
        InputError: the smallest tiles are too large.
    """
    while True:
        layout = sizes.layout(trimap, multiples)
        assert layout is not None
        fixed = need.fixed(layout, trimap.numel(), decoders)
        seen, tile = fixed + need.seen_tile(layout), fixed + need.decoded_tile(layout)
        if max(seen, tile) <= left:
            return layout
        sides = {"denoiser_tile_size": sizes.denoiser_side or max(layout.seen.window.size)}  # whatever the tile size is
        if seen > left:
            sides["denoiser_tile_size"] = _smaller(max(layout.seen.each[0].size), multiples.seen)
        if tile > left:
            sides["tile_size"] = _smaller(max(layout.tiles.each[0].size), multiples.tile(layout.reduction))
        if 0 in sides.values():
            raise too_large(trimap.shape[-1], trimap.shape[-2], max(seen, tile), left=left)
        sizes = replace(sizes, **sides)

def too_large(width: int, height: int, needed: int, *, left: int) -> InputError:
    """What is said of a picture that needs more bytes than are left."""
    return InputError(
        f"a picture of {width}×{height} needs {needed / 1e9:.2f} GB of memory, and {max(0, left) / 1e9:.2f} GB may "
        f"still be taken: allow {(needed - left) / 1e9 + 0.005:.2f} GB more (--memory), or make it smaller"
    )

def _smaller(side: int, multiple: int) -> int:
    """The side of tiles of about half the pixels; 0 if there are none."""
    side = side * 3 // 4 // multiple * multiple
    return side if side >= 2 * multiple else 0


# drip_lightning.ops.transfer

def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to `device` asynchronously, through pinned memory for a GPU."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


# drip_lightning.nn.sampling

def sample_latents(
    denoise: Callable[[Tensor, Tensor, Tensor], Tensor], noise: Tensor, schedule: NoiseSchedule, *, steps: Sequence[int]
) -> Tensor:
    """Denoise, each sample in its own number of steps of the schedule's solver (DRIP Sec. 3.2: 10 of DPM-Solver++).

    Samples go side by side: the i-th step of all that have one is a single call of `denoise`. Nothing waits for the
    device, and nothing is sent to it between steps.

    Args:
        denoise: `(noisy latents (2b, C, h, w), timesteps (b,), places (b,)) -> prediction (2b, C, h, w)`, for the b
            samples at these places in the batch, domains stacked.
        noise: (2B, C, h, w) starting latents of unit variance, domains stacked.
        schedule: Betas, prediction type and spacing of the steps.
        steps: Steps of each of the B samples, at least 1.

    Returns:
        Clean latents (2B, C, h, w).

    Raises:
        ValueError: if a number of steps is not in [1, T].
    """
    if min(steps) < 1 or max(steps) > schedule.num_train_timesteps:
        raise ValueError(f"steps: expected 1 to {schedule.num_train_timesteps}, got {min(steps)} to {max(steps)}")
    longest_first = sorted(range(len(steps)), key=lambda place: -steps[place])  # those still active are the first
    counts = [steps[place] for place in longest_first]
    solvers = {count: schedule.solver_for(count) for count in counts}
    groups = {count: slice(counts.index(count), counts.index(count) + counts.count(count)) for count in counts}
    timesteps = torch.zeros(counts[0], len(counts), dtype=torch.long)
    for count, group in groups.items():
        timesteps[:count, group] = solvers[count].timesteps[:, None]
    places, timesteps = to_device(torch.tensor(longest_first), noise.device), to_device(timesteps, noise.device)

    latents = pair_domains(noise)[places]
    for step in range(counts[0]):
        active = sum(count > step for count in counts)
        prediction = denoise(unpair_domains(latents[:active]), timesteps[step, :active], places[:active])
        prediction = pair_domains(prediction).to(latents)
        for count, group in groups.items():
            if count > step:
                solver = solvers[count]
                latents[group] = solver.step(
                    prediction[group], solver.timesteps[step], latents[group], return_dict=False
                )[0]
    return unpair_domains(latents[places.argsort()])


# drip_lightning.nn.sampler

Progress = Callable[[int, int], None]

"""Told how many parts of one picture's work are done, and how many there are."""

@dataclass(frozen=True)
class Matte:
    """What is predicted for a batch of pictures.

    Attributes:
        foreground: (B, 3, H, W) straight colour in [0, 1].
        alpha: (B, 1, H, W) in [0, 1].
    """

    foreground: Tensor
    alpha: Tensor

def no_progress(done: int, total: int) -> None:
    """Tell nobody."""

@dataclass(frozen=True)
class KnownPixels:
    """What a result has where the trimap is sure.

    Attributes:
        alpha: The `trimap`'s, or `predicted` like everywhere else.
        foreground: The `image`'s own colour where alpha is surely 1 (DRIP Eq. 1), or `predicted`.
    """

    alpha: Literal["trimap", "predicted"] = "trimap"
    foreground: Literal["image", "predicted"] = "image"

@dataclass(frozen=True)
class MattingSampler:
    """The trained parts, put together; `MattingPipeline` is their face for pictures of any kind.

    Attributes:
        codec: Frozen VAE.
        joint_unet: The joint-domain denoiser.
        noise: What latents are noised with in training; at t = T, what sampling starts from.
        schedule: How to sample.
        decoder: What makes the result from the sampled latents.
        one_step: Whether the denoiser was taught a single step from pure noise, and no more.
        hints: What the decoder is given beside image and trimap.
        reduction: How many times smaller the denoiser sees the picture, height and width.
        sizes: How pictures of any size are brought to what the networks were trained for.
        inference_noise: What sampling starts from in place of the training noise.
        known: What the result is taken from where the trimap is sure.
        memory: How much a picture may take; its tiles are made smaller where that is needed.
    """

    codec: LatentCodec
    joint_unet: JointDenoiser
    noise: NoiseSampler
    schedule: NoiseSchedule
    decoder: LatentDecoder
    one_step: bool = False
    hints: Hints = NoHints()  # noqa: RUF009 - frozen
    reduction: int = 1
    sizes: Sizes = Sizes()  # noqa: RUF009 - frozen
    inference_noise: NoiseSampler | None = None
    known: KnownPixels = KnownPixels()
    memory: MemoryBound = MemoryBound()  # noqa: RUF009

    def __post_init__(self) -> None:
        """Refuse sizes that no picture could be brought to."""
        self.sizes.check(self.multiples)

    @property
    def multiples(self) -> Multiples:
        """What the networks' sizes must be multiples of; `__call__` sees to it by itself."""
        return Multiples(
            self.codec.downsampling, self.joint_unet.size_multiple, self.decoder.size_multiple, self.reduction
        )

    def condition(self, image: Tensor, trimap: Tensor) -> Tensor:
        """Encode image (B, 3, H, W) and trimap (B, 1, H, W), reduced, to the denoiser's condition (B, 2C, h, w)."""
        return torch.cat(self.codec.encode(*_shown(image, trimap, self.reduction)), dim=1)

    def starting_noise(
        self, size: tuple[int, int], generators: Sequence[torch.Generator], device: torch.device | None = None
    ) -> Tensor:
        """Draw what sampling starts from, (2B, C, h, w), each picture's from its own generator on the CPU.

        Args:
            size: (h, w) of the latents.
            generators: One for each of the B pictures.
            device: Where the noise is needed; none for where the VAE is.
        """
        shape = (self.codec.channels, *size)
        noise = self.inference_noise or self.noise
        drawn = noise.draw_pairs(shape, strengths=[1.0] * len(generators), generators=generators)
        return to_device(drawn, device or self.codec.vae.device)

    def sample(self, condition: Tensor, *, steps: Sequence[int], generators: Sequence[torch.Generator]) -> Tensor:
        """Sample both domains' latents (2B, C, h, w), domains stacked.

        Args:
            condition: (B, 2C, h, w), see `condition`.
            steps: Denoising steps of each picture.
            generators: One for each picture, on the CPU, so that a picture's result does not depend on its batch.

        Raises:
            InputError: several steps are asked of a denoiser that was taught one.
        """
        self._check_steps(max(steps))
        height, width = condition.shape[-2:]

        def denoise(noisy: Tensor, timesteps: Tensor, places: Tensor) -> Tensor:
            return self.joint_unet(noisy, condition[places], timesteps)

        noise = self.starting_noise((height, width), generators, condition.device)
        return sample_latents(denoise, noise, self.schedule, steps=steps)

    @torch.no_grad()
    def __call__(
        self,
        image: Tensor,
        trimap: Tensor,
        *,
        steps: int = 10,
        generators: Sequence[torch.Generator],
        progress: Progress = no_progress,
    ) -> Matte:
        """Matte pictures of any size, one by one.

        Args:
            image: (B, 3, H, W) in [0, 1].
            trimap: (B, 1, H, W), exactly 0, 0.5 or 1.
            steps: Denoising steps.
            generators: One for each picture, on the CPU.
            progress: Told within each picture how far it is.
        """
        return self.compare(image, trimap, [self.decoder], steps=steps, generators=generators, progress=progress)[0]

    @torch.no_grad()
    def compare(
        self,
        image: Tensor,
        trimap: Tensor,
        decoders: Sequence[LatentDecoder],
        *,
        steps: int = 10,
        generators: Sequence[torch.Generator],
        progress: Progress = no_progress,
    ) -> tuple[Matte, ...]:
        """As `__call__`, decoding the same sampled latents by each of the decoders, which need no larger multiples."""
        self._check_steps(steps)

        def latents(picture: PictureInTiles, place: int) -> Tensor:
            return self._sample_in_tiles(picture, steps, generators[place])

        return self.decode_pictures(image, trimap, decoders, latents=latents, passes=steps + 1, progress=progress)

    @torch.no_grad()
    def decode_pictures(
        self,
        image: Tensor,
        trimap: Tensor,
        decoders: Sequence[LatentDecoder],
        *,
        latents: Callable[[PictureInTiles, int], Tensor],
        passes: int,
        progress: Progress = no_progress,
    ) -> tuple[Matte, ...]:
        """Decode pictures of any size, where they are unknown, by each of the decoders.

        Where the trimap is sure, alpha is the trimap's, and F = X where alpha is 1, or nothing near is unknown; where
        `known` has it predicted, the whole picture is worked on.

        Args:
            image: (B, 3, H, W) in [0, 1].
            trimap: (B, 1, H, W), exactly 0, 0.5 or 1.
            decoders: See `compare`.
            latents: Of a picture that has something unknown, and its place in the batch: (2, C, h, w).
            passes: How often that goes through the denoiser's tiles.
            progress: Told within each picture how far it is.

        Raises:
            InputError: there is not enough memory for a picture.
        """
        mattes = []
        for place in range(len(image)):
            own = image[place : place + 1], trimap[place : place + 1]
            wanted = own[1] if self.known == KnownPixels() else torch.full_like(own[1], 0.5)
            layout = self._layout(wanted, decoders)
            if layout is None:
                mattes.append([Matte(*own)] * len(decoders))
                continue
            count = _Count(len(layout.seen.each) * (passes + 1) + len(layout.tiles.each), progress)
            picture = PictureInTiles(*own, layout, self.hints, count.add)
            decoded = picture.decode(decoders, picture.pairs(self.codec, latents(picture, place)))
            mattes.append([_placed(*own, maps, layout.tiles, self.known) for maps in decoded.split(4, dim=1)])
        return tuple(
            Matte(torch.cat([one.foreground for one in row]), torch.cat([one.alpha for one in row]))
            for row in zip(*mattes, strict=True)
        )

    def _layout(self, trimap: Tensor, decoders: Sequence[LatentDecoder]) -> Layout | None:
        layout, left = self.sizes.layout(trimap, self.multiples), self.memory.left(trimap.device)
        if layout is None or Need(ANY_NETWORK, ANY_NETWORK).all_of(layout, trimap.numel(), len(decoders)) <= left:
            return layout
        need = need_of(self.codec, self.joint_unet, self.decoder, self.hints, self.multiples)
        return fitted(self.sizes, trimap, self.multiples, need, decoders=len(decoders), left=left)

    def _check_steps(self, steps: int) -> None:
        if self.one_step and steps > 1:
            raise InputError(
                f"the denoiser was trained for one step (objective OneStep), got {steps}: set the number of steps "
                "(sampling_steps, max_steps, --steps) to 1"
            )

    def _sample_in_tiles(self, picture: PictureInTiles, steps: int, generator: torch.Generator) -> Tensor:
        layout, downsampling = picture.layout, self.codec.downsampling

        def shown(place: Window, reduction: int) -> tuple[Tensor, Tensor]:
            return _shown(place.cut(picture.image), place.cut(picture.trimap), reduction)

        condition = torch.cat(picture.encode(self.codec, shown), dim=1)
        # one field of noise for the whole picture, whatever of it is worked on
        pixels, multiple = layout.reduction * downsampling, self.multiples.picture(layout.reduction)
        height, width = (round_up(side, multiple) // pixels for side in picture.image.shape[-2:])
        noise = layout.window.over(pixels).view(self.starting_noise((height, width), [generator], condition.device))
        denoise = picture.denoise(self.joint_unet, condition, downsampling)
        return sample_latents(denoise, noise, self.schedule, steps=[steps])

def median_matte(members: Sequence[Matte]) -> Matte:
    """The median of several mattes of one picture, value by value; of an even number, the mean of the middle two."""
    if len(members) == 1:
        return members[0]
    return Matte(
        foreground=median([matte.foreground for matte in members]), alpha=median([matte.alpha for matte in members])
    )

def median(members: Sequence[Tensor]) -> Tensor:
    """The median of tensors of one shape, value by value; of an even number, the mean of the middle two."""
    ordered = torch.stack(list(members)).sort(dim=0).values
    return (ordered[(len(members) - 1) // 2] + ordered[len(members) // 2]) / 2

class _Count:
    """Counts the parts of a picture's work."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def add(self) -> None:
        self._done += 1
        self._progress(self._done, self._total)

def _shown(image: Tensor, trimap: Tensor, reduction: int) -> tuple[Tensor, Tensor]:
    return reduce_picture(image, reduction), reduce_trimap(trimap, reduction)

def _placed(image: Tensor, trimap: Tensor, maps: Tensor, tiles: Tiles, known: KnownPixels) -> Matte:
    """Put foreground and alpha of the tiles' window, (1, 4, …), where they belong and nothing else is known."""
    place = tiles.window.within((image.shape[-2], image.shape[-1]))
    foreground, alpha = image.clone(), trimap.clone()
    maps, colour, side = Window(0, 0, *place.size).view(maps), place.view(foreground), place.view(alpha)
    covered = Window(0, 0, *place.size).view(tiles.covered()).to(image.device)
    coloured = covered & (side < 1) if known.foreground == "image" else covered
    found = unknown_mask(side) if known.alpha == "trimap" else covered
    colour.copy_(torch.where(coloured, maps[:, :3], colour))
    side.copy_(torch.where(found, maps[:, 3:], side))
    return Matte(foreground, alpha)


# drip_lightning.ops.given_pictures

Picture = Image.Image | np.ndarray | Tensor

def image_tensors(images: Picture | Sequence[Picture]) -> list[Tensor]:
    """Each picture as (1, 3, H, W), float32 in [0, 1].

    Args:
        images: One or a list of: a PIL picture, grey or colour; (H, W), (H, W, 1 or 3) or (N, H, W, 3) of NumPy;
            (H, W), (1 or 3, H, W) or (N, 3, H, W) of torch. Numbers are floats in [0, 1], uint8 or uint16.

    Raises:
        InputError: something else, or values beyond that.
    """
    return [one.expand(-1, 3, -1, -1).contiguous() for one in _each(images, "image", channels=(1, 3))]

def trimap_tensors(trimaps: Picture | Sequence[Picture]) -> list[Tensor]:
    """Each trimap as (1, 1, H, W), exactly 0 (background), 0.5 (unknown) or 1 (foreground).

    Args:
        trimaps: As `image_tensors` takes them, with one channel, or three alike; what lies between 0 and 1 is unknown.

    Raises:
        InputError: something else, or values beyond that.
    """
    greys = []
    for one in _each(trimaps, "trimap", channels=(1, 3)):
        if (one != one[:, :1]).any():
            raise InputError("trimap is coloured: give black for background, white for foreground, grey for unknown")
        greys.append(quantise_trimap(one[:, :1]))
    return greys

def _each(given: Any, name: str, channels: tuple[int, ...]) -> list[Tensor]:
    if isinstance(given, list | tuple):
        return [tensor for one in given for tensor in _each(one, name, channels)]
    pictures = _from_pil(given, name) if isinstance(given, Image.Image) else given
    if isinstance(pictures, np.ndarray):
        wide = pictures.astype(np.int32) if pictures.dtype == np.uint16 else pictures
        values = torch.from_numpy(np.array(wide))
        values = values.movedim(-1, -3) if values.ndim > 2 else values
        most = 65535 if pictures.dtype == np.uint16 else 255 if pictures.dtype == np.uint8 else None
    elif isinstance(pictures, Tensor):
        values, most = pictures.detach().cpu(), {torch.uint8: 255, torch.uint16: 65535}.get(pictures.dtype)
    else:
        raise InputError(f"{name}: expected PIL, NumPy or torch, one or a list, got {type(given).__name__}")
    values = values[(None,) * (4 - values.ndim)] if values.ndim in (2, 3) else values
    if values.ndim != 4 or values.shape[1] not in channels or 0 in values.shape:
        raise InputError(
            f"{name}: expected (H, W, C) of NumPy or (C, H, W) of torch, C of 1 or 3, got {tuple(given.shape)}"
        )
    if most is None and not values.is_floating_point():
        raise InputError(f"{name}: expected floats, uint8 or uint16, got {given.dtype}")
    values = values.float() if most is None else values.float() / most
    if not (values.min() >= 0 and values.max() <= 1):
        raise InputError(
            f"{name}: expected values in [0, 1] (or uint8), got {values.min().item():g} to {values.max().item():g}"
        )
    return list(values.split(1))

def _from_pil(picture: Image.Image, name: str) -> np.ndarray:
    if picture.mode in ("RGB", "L"):
        return np.asarray(picture)
    if picture.mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)
    if picture.mode in ("1", "P", "CMYK", "YCbCr", "HSV", "LAB") and not picture.has_transparency_data:
        return np.asarray(picture.convert("L" if picture.mode == "1" else "RGB"))
    raise InputError(
        f"{name}: PIL's mode {picture.mode} may mean several things: convert the picture to RGB or L first"
    )


# drip_lightning.ops.picture

def as_picture(values: Tensor) -> Image.Image:
    """A tensor as a picture; values are rounded, and what lies outside [0, 1] is clipped.

    Args:
        values: (C, H, W) in [0, 1]; grey, colour, or straight colour and alpha, for C of 1, 3 or 4.
    """
    pixels = (values.detach().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


# drip_lightning.nn.plain_pipeline

Values = list[Image.Image] | list[np.ndarray] | list[Tensor]

"""Of each picture: as PIL, (H, W, C) of NumPy, or (C, H, W) of torch."""

@dataclass
class MattingOutput(BaseOutput):
    """What a matting pipeline answers: of each field a list with an entry for each picture.

    Attributes:
        alpha: The matte, one channel in [0, 1].
        foreground: Straight colour, three channels in [0, 1].
        rgba: Both as one picture, to be put over anything; its colour is 0 where alpha is.
        uncertainty: Median absolute deviation of the ensemble's mattes, one channel; none unless asked for.
    """

    alpha: Values
    foreground: Values
    rgba: Values
    uncertainty: Values | None = None

class PlainMattingPipeline(DiffusionPipeline):
    """Foreground and alpha of pictures, given trimaps (DRIP, NeurIPS 2024).

    Args:
        vae: Frozen autoencoder. It never runs in float16, which overflows in Stable Diffusion's.
        unet: The joint-domain denoiser, with its cross-domain attention (DRIP Eq. 4).
        scheduler: How to sample: DPM-Solver++, unless there is a `noise_schedule`.
        transparency_decoder: What mends the VAE's pictures (DRIP Eq. 6); none for the VAE alone.
        noise: What sampling starts from, as `choice_of` takes it.
        noise_schedule: In the same way, a schedule or solver that `scheduler` cannot say; none for what that says.
        hints: What the transparency decoder is given beside picture and trimap, in the same way; none for nothing.
        reduction: How many times smaller than the picture the denoiser sees it.
        one_step: Whether the denoiser was taught a single step.
        alpha_decoding: Whether alpha is the `mean` of the three channels that the VAE decodes it to, or the `first`.
        vae_precision: Whether the VAE heeds an autocast (`trainer`), or runs in `float32` whatever that is.
        known: What results have where the trimap is sure, see `KnownPixels`.
        default_denoising_steps: Steps where a call names none.
        default_processing_size: Longest side of what the denoiser sees, where a call names none; none for every
            picture's own.
        default_tile_size: Side of the tiles that larger pictures are worked on in; none for whole pictures.
        drip: What the trained stages are, for `drip_lightning`.
    """

    model_cpu_offload_seq = "unet->vae->transparency_decoder"  # type: ignore[assignment]
    _optional_components = ["transparency_decoder"]  # noqa: RUF012 - diffusers' own type

    def __init__(
        self,
        vae: AutoencoderKL,
        unet: ModelMixin,
        scheduler: DPMSolverMultistepScheduler,
        transparency_decoder: ModelMixin | None = None,
        noise: dict[str, Any] | None = None,
        noise_schedule: dict[str, Any] | None = None,
        hints: dict[str, Any] | None = None,
        reduction: int = 1,
        one_step: bool = False,
        alpha_decoding: str = "mean",
        vae_precision: str = "trainer",
        known: dict[str, str] | None = None,
        default_denoising_steps: int = 10,
        default_processing_size: int | None = None,
        default_tile_size: int | None = 512,
        drip: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(vae=vae, unet=unet, scheduler=scheduler, transparency_decoder=transparency_decoder)
        self.register_to_config(
            noise=noise,
            noise_schedule=noise_schedule,
            hints=hints,
            reduction=reduction,
            one_step=one_step,
            alpha_decoding=alpha_decoding,
            vae_precision=vae_precision,
            known=known,
            default_denoising_steps=default_denoising_steps,
            default_processing_size=default_processing_size,
            default_tile_size=default_tile_size,
            drip=drip,
        )
        self._vae_decoder = VaeDecoderModule()
        for network in (vae, unet, transparency_decoder):
            if network is not None:
                _align(network.requires_grad_(False).eval())
        nn.Module.to(unet, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._spare_vae()

    def to(self, *args: Any, **kwargs: Any) -> "PlainMattingPipeline":
        """Move to a device or dtype; the VAE stays out of float16."""
        super().to(*args, **kwargs)
        self._spare_vae()
        return self

    def _spare_vae(self) -> None:
        if self.vae.dtype == torch.float16:
            nn.Module.to(self.vae, dtype=torch.float32)

    def sampler(self, *, processing_size: int | None = None, tile_size: int | None = None) -> MattingSampler:
        """The sampler of these components.

        Args:
            processing_size: See `__call__`.
            tile_size: See `__call__`.

        Raises:
            InputError: no picture could be brought to these sizes, or the scheduler is of another kind.
        """
        config = self.config
        own = config["noise_schedule"]
        processing_size = config["default_processing_size"] if processing_size is None else processing_size or None
        tile_size = config["default_tile_size"] if tile_size is None else tile_size or None
        return MattingSampler(
            codec=LatentCodec(self.vae, alpha_decoding=config["alpha_decoding"], precision=config["vae_precision"]),
            joint_unet=self.unet,
            noise=choice_of(config["noise"] or {"class_path": "AnnealedMultiResolutionNoise"}, NoiseSampler),
            schedule=choice_of(own, NoiseSchedule) if own else NoiseSchedule.of(self.scheduler.config),
            decoder=self.transparency_decoder or self._vae_decoder,
            one_step=config["one_step"],
            hints=choice_of(config["hints"], Hints) if config["hints"] else NoHints(),
            reduction=config["reduction"],
            sizes=Sizes(processing_size, tile_size),
            known=KnownPixels(**config["known"] or {}),
        )

    @torch.no_grad()
    def __call__(
        self,
        image: Picture | Sequence[Picture],
        trimap: Picture | Sequence[Picture],
        *,
        num_inference_steps: int | None = None,
        ensemble_size: int = 1,
        processing_size: int | None = None,
        tile_size: int | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        output_type: str = "pil",
        output_uncertainty: bool = False,
        return_dict: bool = True,
    ) -> MattingOutput | tuple[Values | None, ...]:
        """Matte pictures of any size, one by one.

        Args:
            image: One or a list, as PIL, NumPy or torch; see `image_tensors`.
            trimap: One for each picture; see `trimap_tensors`.
            num_inference_steps: Denoising steps; none for the model's own number.
            ensemble_size: Mattes to sample of each picture, of which the median is taken.
            processing_size: Longest side of what the denoiser sees, 0 for every picture's own; none for the model's.
            tile_size: Side of the tiles that larger pictures are worked on in, 0 for whole ones; none for the model's.
            generator: On the CPU, one for all that is drawn or a list of one for each matte, a picture's ensemble
                together; none draws from torch's own.
            output_type: `pil`, `np` for arrays (H, W, C) or `pt` for tensors (C, H, W), both in [0, 1].
            output_uncertainty: Also tell where the ensemble differs.
            return_dict: Answer with a `MattingOutput`, else with its fields as a tuple.

        Raises:
            InputError: something does not fit, or a picture does not fit into memory.
        """
        images, trimaps = image_tensors(image), trimap_tensors(trimap)
        steps = self.config["default_denoising_steps"] if num_inference_steps is None else num_inference_steps
        sampler = self.sampler(processing_size=processing_size, tile_size=tile_size)
        _check(images, trimaps)
        _check_options(steps, sampler.schedule.num_train_timesteps, ensemble_size, output_type, output_uncertainty)
        generators = _generators(generator, len(images) * ensemble_size)
        results = []
        for place, pair in enumerate(zip(images, trimaps, strict=True)):
            moved = [one.to(self._execution_device) for one in pair]
            own = generators[place * ensemble_size : (place + 1) * ensemble_size]
            members = [self._member(sampler, moved, steps, one) for one in own]
            matte = median_matte(members)
            away = [(member.alpha - matte.alpha).abs() for member in members] if output_uncertainty else []
            maps = [matte.alpha, matte.foreground, _rgba(matte.foreground, matte.alpha, output_type)]
            results.append([_as(output_type, one) for one in (*maps, *([median(away)] if away else []))])
        self.maybe_free_model_hooks()
        output = MattingOutput(*(list(values) for values in zip(*results, strict=True)))
        return output if return_dict else (output.alpha, output.foreground, output.rgba, output.uncertainty)

    def _member(self, sampler: MattingSampler, pair: Sequence[Tensor], steps: int, generator: torch.Generator) -> Any:
        bars: list[Any] = []

        def tell(done: int, total: int) -> None:
            if not bars:
                bars.append(self.progress_bar(total=total))
            bars[0].update(done - bars[0].n)

        try:
            return sampler(*pair, steps=steps, generators=[generator], progress=tell)
        finally:
            for bar in bars:
                bar.close()

def _align(network: nn.Module) -> None:
    """Copy weights that lie as they do in a mapped file: by their place in memory a CPU rounds otherwise."""
    for weight in (*network.parameters(), *network.buffers()):
        if weight.device.type == "cpu" and weight.data_ptr() % 64:
            weight.data = weight.data.clone()

def _check(images: Sequence[Tensor], trimaps: Sequence[Tensor]) -> None:
    if len(images) != len(trimaps) or not images:
        raise InputError(f"expected a trimap for each picture, at least one, got {len(images)} and {len(trimaps)}")
    for image, trimap in zip(images, trimaps, strict=True):
        (height, width), (own_height, own_width) = image.shape[-2:], trimap.shape[-2:]
        if (height, width) != (own_height, own_width):
            raise InputError(f"a picture of {width}×{height} came with a trimap of {own_width}×{own_height}")

def _check_options(steps: int, most: int, ensemble_size: int, output_type: str, output_uncertainty: bool) -> None:
    if not 1 <= steps <= most:
        raise InputError(f"num_inference_steps: expected 1 to {most}, got {steps}")
    if ensemble_size < 1:
        raise InputError(f"ensemble_size: expected at least 1, got {ensemble_size}")
    if output_type not in ("pil", "np", "pt"):
        raise InputError(f"output_type: expected pil, np or pt, got {output_type}")
    if output_uncertainty and ensemble_size == 1:
        raise InputError("output_uncertainty needs an ensemble: set ensemble_size to 3 or more")

def _generators(given: torch.Generator | Sequence[torch.Generator] | None, count: int) -> list[torch.Generator]:
    if given is None:
        given = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
    generators = [given] * count if isinstance(given, torch.Generator) else list(given)
    if len(generators) != count:
        raise InputError(f"generator: expected one, or {count} (pictures × ensemble_size), got {len(generators)}")
    if any(one.device.type != "cpu" for one in generators):
        raise InputError("generator: expected generators on the CPU, so that every device draws the same noise")
    return generators

def _rgba(foreground: Tensor, alpha: Tensor, output_type: str) -> Tensor:
    seen = (alpha * 255).round() > 0 if output_type == "pil" else alpha > 0
    return torch.cat([foreground * seen, alpha], dim=1)

def _as(output_type: str, values: Tensor) -> Any:
    if output_type == "pil":
        return as_picture(values[0].float())
    return values[0] if output_type == "pt" else values[0].permute(1, 2, 0).float().cpu().numpy()