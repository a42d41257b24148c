"""Foregrounds over backgrounds, to evaluate on, composited as the script that came with Composition-1k does."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from drip_lightning.data.convert.backgrounds import Backgrounds
from drip_lightning.data.convert.catalogue import EVERYTHING, Choice
from drip_lightning.data.convert.foregrounds import Foregrounds, read_foreground
from drip_lightning.data.convert.mattes import require_partial
from drip_lightning.data.convert.outcome import Bytes, Sample, read_picture
from drip_lightning.data.convert.sources import ConversionJob, Listing, listing
from drip_lightning.data.convert.triplets import evaluation_sample, trimap_around


@dataclass(frozen=True, kw_only=True)
class Composites:
    """Foregrounds that were held out, each over backgrounds that were held out.

    Attributes:
        sources: A folder of foregrounds, as `Foregrounds` reads them, and one of backgrounds.
        trimap_radius: The trimaps are unknown within this many pixels of alpha's partial values.
        each: How many backgrounds for a foreground; they are taken in turn, by name.
        side: Foregrounds are resized to this longest side, in pixels; None keeps them.
        choice: Which foregrounds are taken.
        background_choice: Which backgrounds.
    """

    sources: tuple[Path, ...]
    trimap_radius: int = 10
    each: int = 1
    side: int | None = None
    choice: Choice = EVERYTHING
    background_choice: Choice = EVERYTHING
    name: ClassVar[str] = "composites"
    noun: ClassVar[str] = "evaluation pictures"
    licence: ClassVar[str] = ""
    is_test_set: ClassVar[bool] = True
    expected: ClassVar[int | None] = None

    def arguments(self) -> dict[str, Any]:
        """What decides the pixels, besides the files."""
        chosen = self.background_choice.arguments()
        resized = {} if self.side is None else {"side": self.side}
        backgrounds = {"backgrounds": chosen} if chosen else {}
        arguments = {"trimap_radius": self.trimap_radius, "each": self.each}
        return {**arguments, **resized, **self.choice.arguments(), **backgrounds}

    def find(self) -> Listing:
        """Pair the foregrounds with backgrounds."""
        foregrounds = Foregrounds(sources=self.sources[:1], choice=self.choice).find()
        pictures = Backgrounds(sources=self.sources[1:], choice=self.background_choice).find()
        backgrounds = pictures.jobs
        pairs = [
            (foreground, repeat, backgrounds[(number * self.each + repeat) % len(backgrounds)])
            for number, foreground in enumerate(foregrounds.jobs)
            for repeat in range(self.each if backgrounds else 0)
        ]
        jobs = [
            ConversionJob(
                foreground.key if self.each == 1 else f"{foreground.key}_{repeat}",
                {**foreground.files, "background": background.files["image"]},
                foreground.label,
                {**foreground.facts, **({"background": background.facts} if background.facts else {})},
            )
            for foreground, repeat, background in pairs
        ]
        refused = (*foregrounds.refused, *pictures.refused)
        return listing([*jobs, *refused], Counter(foregrounds.ignored) + Counter(pictures.ignored))

    def convert(self, job: ConversionJob) -> Sample:
        """Composite one picture.

        Raises:
            Refusal: a picture cannot be used.
        """
        foreground, alpha = read_foreground(job)
        require_partial(alpha)
        if self.side is not None:
            foreground, alpha = _resized(foreground, alpha, self.side)
        background = Image.fromarray(read_picture(job.files["background"]).colour)
        image = composite_as_reference(foreground, alpha, background)
        trimap = trimap_around(alpha, self.trimap_radius)
        return evaluation_sample(image=image, trimap=trimap, alpha=alpha, foreground=foreground)


def _resized(foreground: Bytes, alpha: Bytes, side: int) -> tuple[Bytes, Bytes]:
    """Bicubic, on premultiplied colour (Pillow's way with RGBA), to a longest side."""
    picture = Image.fromarray(np.dstack([foreground, alpha]))
    ratio = side / max(picture.size)
    width, height = (max(1, round(length * ratio)) for length in picture.size)
    rgba = np.array(picture.resize((width, height), Image.Resampling.BICUBIC))
    return rgba[..., :3], rgba[..., 3]


def composite_as_reference(foreground: Bytes, alpha: Bytes, background: Image.Image) -> Bytes:
    """Composite as the set's own script does, to the last bit.

    The background is scaled up, bicubically and to whole pixels rounded up, only if it is smaller than the foreground
    in one of its sides; its top left corner is taken; `aF + (1 - a)B` in double precision is truncated, not rounded.

    Args:
        foreground: (H, W, 3), straight.
        alpha: (H, W).
        background: RGB, of any size.

    Returns:
        (H, W, 3).
    """
    height, width = alpha.shape
    ratio = max(width / background.width, height / background.height)
    if ratio > 1:
        size = math.ceil(background.width * ratio), math.ceil(background.height * ratio)
        background = background.resize(size, Image.Resampling.BICUBIC)
    behind = np.asarray(background.crop((0, 0, width, height)))
    weight = (alpha / 255)[..., None]
    return (weight * foreground + (1 - weight) * behind).astype(np.uint8)
