"""One procedural sample as a pure function of (seed, split, number), encoded as a shard's members.

Kept apart from the writing of shards so that a worker process starts without importing PyTorch.
"""

import io
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from PIL import Image

from drip_lightning.data.synth.families import FAMILIES, draw_foreground
from drip_lightning.data.synth.photographs import draw_photograph, list_photographs, photographs_digest
from drip_lightning.data.synth.textures import Bytes, Floats, draw_background, draw_texture
from drip_lightning.errors import InputError

Split = Literal["foregrounds", "backgrounds", "evaluation"]
SPLITS: tuple[Split, ...] = ("foregrounds", "backgrounds", "evaluation")
MINIMUM_SIZE, MAXIMUM_SIZE = 32, 4096


@dataclass(frozen=True, kw_only=True)
class SynthSettings:
    """What decides a sample's pixels, apart from its split and number.

    Attributes:
        size: Side of the pictures.
        seed: Not negative; another seed gives other pictures.
        families: Names in `FAMILIES`, taken in turn; a name given twice is taken twice as often.
        photographs: Folder of the user's pictures to cut backgrounds from; none draws them.
        textures: Folder of the user's pictures to cut every other object's surface from; none draws them all.

    Raises:
        InputError: a setting is impossible; the message names it.
    """

    size: int = 512
    seed: int = 0
    families: tuple[str, ...] = tuple(FAMILIES)
    photographs: str | None = None
    textures: str | None = None

    def __post_init__(self) -> None:
        if not MINIMUM_SIZE <= self.size <= MAXIMUM_SIZE:
            raise InputError(f"size: expected {MINIMUM_SIZE} to {MAXIMUM_SIZE} pixels, got {self.size}")
        if self.seed < 0:
            raise InputError(f"seed: expected 0 or more, got {self.seed}")
        unknown = [family for family in self.families if family not in FAMILIES]
        if unknown or not self.families:
            raise InputError(f"families: no {', '.join(unknown) or 'name given'}; there are {', '.join(FAMILIES)}")
        for folder in (self.photographs, self.textures):
            if folder is not None:
                list_photographs(folder)

    def arguments(self, split: Split) -> dict[str, Any]:
        """The settings that matter to a split, as JSON holds them."""
        chosen: dict[str, Any] = {"size": self.size, "seed": self.seed}
        if split != "backgrounds":
            chosen["families"] = list(self.families)
        if split != "foregrounds" and self.photographs is not None:
            chosen["photographs"] = photographs_digest(self.photographs)
        if split != "backgrounds" and self.textures is not None:
            chosen["textures"] = photographs_digest(self.textures)
        return chosen

    def texture(self, size: int, generator: np.random.Generator, *, held_out: bool) -> Bytes:
        """An object's surface (size, size, 3): drawn, or every other time cut from one of the `textures`."""
        if self.textures is not None and generator.random() < 0.5:
            return draw_photograph(self.textures, size, generator, held_out=held_out)
        return draw_texture(size, generator)


def sample_members(split: Split, number: int, settings: SynthSettings) -> dict[str, str | bytes]:
    """Draw and encode a sample.

    Args:
        split: Each split has its own random numbers, so what is held out shares no picture with training.
        number: Position of the sample in its split.
        settings: Size, seed and families.

    Returns:
        `__key__` and the encoded members by extension: `rgba.webp` (lossless, straight colour, also under alpha 0) of
        a foreground, `jpg` of a background; `image.png`, `trimap.png` (0, 128, 255), `alpha.png` and `fg.png` of an
        evaluation sample, whose image is the rounded composite of its 8-bit maps.
    """
    generator = np.random.default_rng(np.random.SeedSequence([settings.seed, SPLITS.index(split), number]))
    if split == "backgrounds":
        return {"__key__": f"background_{number:06d}", "jpg": _jpeg(_background(settings, generator))}
    family = settings.families[number % len(settings.families)]
    texture = partial(settings.texture, held_out=split == "evaluation")
    colour, alpha = draw_foreground(family, settings.size, generator, texture)
    if split == "foregrounds":
        return {"__key__": f"{family}_{number:06d}", "rgba.webp": _webp(np.dstack([colour, alpha]))}
    background = _background(settings, generator, (colour, alpha))
    return {
        "__key__": f"{family}_{number:06d}",
        "image.png": _png(composite(colour, alpha, background)),
        "trimap.png": _png(_trimap(alpha, generator)),
        "alpha.png": _png(alpha),
        "fg.png": _png(colour),
    }


def _background(
    settings: SynthSettings, generator: np.random.Generator, held_out_object: tuple[Bytes, Bytes] | None = None
) -> Bytes:
    """A background for training, or the one that a held-out object's colour and alpha are composited over."""
    if settings.photographs is not None:
        held_out = held_out_object is not None
        return draw_photograph(settings.photographs, settings.size, generator, held_out=held_out)
    palette = None if held_out_object is None else _camouflage(*held_out_object, generator)
    return draw_background(settings.size, generator, palette)


def composite(foreground: Bytes, alpha: Bytes, background: Bytes) -> Bytes:
    """`aF + (1 - a)B` of 8-bit maps, rounded to nearest exactly, in whole numbers.

    Args:
        foreground: (H, W, 3), straight.
        alpha: (H, W).
        background: (H, W, 3).

    Returns:
        (H, W, 3).
    """
    weight = alpha[..., None].astype(np.uint32)
    return ((foreground * weight + background * (255 - weight) + 127) // 255).astype(np.uint8)


def _camouflage(colour: Bytes, alpha: Bytes, generator: np.random.Generator) -> Floats | None:
    """For one object in five, a palette of its own colours from dark to light; else None."""
    inside = np.flatnonzero(alpha > 127)
    if generator.random() >= 0.2 or len(inside) == 0:
        return None
    palette = colour.reshape(-1, 3)[generator.choice(inside, 5)].astype(np.float32) / 255
    return palette[np.argsort(palette.sum(axis=1))]


def _trimap(alpha: Bytes, generator: np.random.Generator) -> Bytes:
    """The unknown band around the matte's partial values, up to 4 % of the side wide on either side of them."""
    from drip_lightning.ops.trimap import trimap_uint8

    side = alpha.shape[0]
    dilation, erosion = generator.integers(max(1, side // 128), side // 25 + 1, 2).tolist()
    return trimap_uint8(alpha, dilation=dilation, erosion=erosion)


def _png(picture: Bytes) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "png", compress_level=1)
    return stream.getvalue()


def _webp(picture: Bytes) -> bytes:
    """Lossless, the colour under alpha 0 included: smaller than PNG, faster to write and to read."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "webp", lossless=True, exact=True, quality=0, method=0)
    return stream.getvalue()


def _jpeg(picture: Bytes) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "jpeg", quality=95, subsampling=0)
    return stream.getvalue()
