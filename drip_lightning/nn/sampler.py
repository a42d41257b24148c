"""From image and trimap to the matte: the one sampler of validation, `drip test`, `drip matte` and pipelines."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from drip_lightning.errors import InputError
from drip_lightning.nn.joint_denoiser import JointDenoiser
from drip_lightning.nn.latents import LatentCodec
from drip_lightning.nn.memory_bound import ANY_NETWORK, MemoryBound, Need, fitted, need_of
from drip_lightning.nn.noise import NoiseSampler
from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.nn.picture import PictureInTiles
from drip_lightning.nn.sampling import sample_latents
from drip_lightning.nn.transparency import LatentDecoder
from drip_lightning.ops.geometry import reduce_picture, reduce_trimap
from drip_lightning.ops.hints.choice import Hints, NoHints
from drip_lightning.ops.sizes import Layout, Multiples, Sizes
from drip_lightning.ops.transfer import to_device
from drip_lightning.ops.trimap import unknown_mask
from drip_lightning.ops.windows import Tiles, Window, round_up

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
