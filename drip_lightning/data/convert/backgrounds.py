"""Backgrounds for training: any pictures, their pixels kept as they are where they are plain JPEGs."""

import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from drip_lightning.data.convert.catalogue import EVERYTHING, Choice
from drip_lightning.data.convert.outcome import Refusal, Sample, digest_of, encode, read_picture
from drip_lightning.data.convert.plain_jpeg import without_metadata
from drip_lightning.data.convert.sources import ConversionJob, Listing, listing, single_jobs
from drip_lightning.data.picture_files import find_pictures

_ORIENTATION = 0x0112


@dataclass(frozen=True, kw_only=True)
class Backgrounds:
    """Any folders of pictures.

    Attributes:
        sources: The folders.
        choice: Which pictures are taken.
    """

    sources: tuple[Path, ...]
    choice: Choice = EVERYTHING
    name: ClassVar[str] = "images"
    noun: ClassVar[str] = "backgrounds"
    licence: ClassVar[str] = ""
    is_test_set: ClassVar[bool] = False
    expected: ClassVar[int | None] = None

    def arguments(self) -> dict[str, Any]:
        """What decides the pixels, besides the files."""
        return self.choice.arguments()

    def find(self) -> Listing:
        """Find the pictures."""
        found = [find_pictures(source) for source in self.sources]
        ignored = sum((pictures.ignored for pictures in found), Counter[str]())
        return self.choice.of(listing([job for pictures in found for job in single_jobs(pictures, "image")], ignored))

    def convert(self, job: ConversionJob) -> Sample:
        """Read and check one background, and encode it unless it is a JPEG that needs no turning, in sRGB.

        What a file says besides its picture (EXIF with place and time, comments) is left out either way.

        Raises:
            Refusal: it cannot be used.
        """
        file = read_picture(job.files["image"])
        content, picture = file.content, file.picture
        if picture.has_transparency_data and np.asarray(picture.convert("RGBA"))[..., 3].min() < 255:
            raise Refusal("transparent", "a background must be whole; is it a foreground?")
        pixels = file.colour
        if not _is_plain_jpeg(content) or (pixels != np.asarray(picture.convert("RGB"))).any():
            content = encode(pixels, "JPEG", quality=95, subsampling=0)
        return Sample({"jpg": without_metadata(content)}, digest_of(pixels))


def _is_plain_jpeg(content: bytes) -> bool:
    """Whether every reader will see the same pixels: a JPEG, in colour or grey, that lies as it should."""
    with Image.open(io.BytesIO(content)) as picture:
        return picture.format == "JPEG" and picture.mode in ("RGB", "L") and picture.getexif().get(_ORIENTATION, 1) == 1
