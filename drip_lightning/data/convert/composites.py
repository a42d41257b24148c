"""Foregrounds over backgrounds, to evaluate on, composited as the script that came with Composition-1k does."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from drip_lightning.data.convert.foregrounds import Foregrounds, read_foreground
from drip_lightning.data.convert.mattes import require_partial
from drip_lightning.data.convert.outcome import Bytes, Sample, read_colour
from drip_lightning.data.convert.sources import Job, Listing, find_pictures, listing, single_jobs
from drip_lightning.data.convert.triplets import evaluation_sample, trimap_around


@dataclass(frozen=True, kw_only=True)
class Composites:
    """Foregrounds that were held out, each over backgrounds that were held out.

    Attributes:
        sources: A folder of foregrounds, as `Foregrounds` reads them, and one of backgrounds.
        trimap_radius: The trimaps are unknown within this many pixels of alpha's partial values.
        each: How many backgrounds for a foreground; they are taken in turn, by name.
    """

    sources: tuple[Path, ...]
    trimap_radius: int = 10
    each: int = 1
    name: ClassVar[str] = "composites"
    noun: ClassVar[str] = "evaluation pictures"
    licence: ClassVar[str] = ""
    is_test_set: ClassVar[bool] = True
    expected: ClassVar[int | None] = None

    def arguments(self) -> dict[str, Any]:
        """What decides the pixels, besides the files."""
        return {"trimap_radius": self.trimap_radius, "each": self.each}

    def find(self) -> Listing:
        """Pair the foregrounds with backgrounds."""
        foregrounds = Foregrounds(sources=self.sources[:1]).find()
        pictures = find_pictures(self.sources[1])
        backgrounds = list(single_jobs(pictures, "background"))
        jobs = [
            Job(
                foreground.key if self.each == 1 else f"{foreground.key}_{repeat}",
                {**foreground.files, **backgrounds[(number * self.each + repeat) % len(backgrounds)].files},
                foreground.label,
            )
            for number, foreground in enumerate(foregrounds.jobs)
            for repeat in range(self.each if backgrounds else 0)
        ]
        return listing([*jobs, *foregrounds.refused], Counter(foregrounds.ignored) + pictures.ignored)

    def convert(self, job: Job) -> Sample:
        """Composite one picture.

        Raises:
            Refusal: a picture cannot be used.
        """
        foreground, alpha = read_foreground(job)
        require_partial(alpha)
        background = Image.fromarray(read_colour(job.files["background"]))
        image = composite_as_reference(foreground, alpha, background)
        trimap = trimap_around(alpha, self.trimap_radius)
        return evaluation_sample(image=image, trimap=trimap, alpha=alpha, foreground=foreground)


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
