"""What of a picture the networks see, at which scale, and in which tiles."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from drip_lightning.errors import InputError
from drip_lightning.ops.trimap import unknown_mask
from drip_lightning.ops.windows import Tiles, Window, round_up, unknown_window, widened

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
