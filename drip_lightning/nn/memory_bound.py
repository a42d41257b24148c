"""Keeping a picture's work within the memory that there is: how much that is, and tiles that need no more."""

from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from drip_lightning.errors import InputError
from drip_lightning.memory import UNKNOWN, available_bytes, resident_bytes
from drip_lightning.nn.activation_memory import peak_bytes
from drip_lightning.nn.joint_denoiser import JointDenoiser
from drip_lightning.nn.latents import LatentCodec, LatentPairs
from drip_lightning.nn.picture import WHOLE_HINTS_SIDE
from drip_lightning.nn.transparency import LatentDecoder
from drip_lightning.ops.hints.choice import Hints
from drip_lightning.ops.sizes import Layout, Multiples, Sizes
from drip_lightning.ops.windows import round_up

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
