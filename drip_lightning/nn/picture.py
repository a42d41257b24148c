"""One picture of any size on its way through the networks, window by window."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from drip_lightning.nn.joint_denoiser import JointDenoiser
from drip_lightning.nn.latents import LatentCodec, LatentPairs
from drip_lightning.nn.transparency import LatentDecoder
from drip_lightning.ops.geometry import enlarge_picture, reduce_picture, reduce_trimap, repeat_edge
from drip_lightning.ops.hints.choice import Hints
from drip_lightning.ops.sizes import Layout
from drip_lightning.ops.windows import Window, round_up, widened

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
