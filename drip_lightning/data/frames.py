"""Frames of animations and pages of TIFF files: how many a file has, and one written of as many."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drip_lightning.data.deep import is_tiff, tiff_pages
from drip_lightning.data.encode import deep_tiff
from drip_lightning.data.exr import is_exr
from drip_lightning.data.picture_files import FORMATS
from drip_lightning.data.pictures import told, usable_formats
from drip_lightning.errors import InputError

_WRITTEN_AS = {"PNG": ".png", "GIF": ".png", "AVIF": ".png", "WEBP": ".webp", "TIFF": ".tif", "HEIF": ".tif"}
"""What a file of as many frames is written as: GIF has no partial transparency, several pictures in HEIC no times."""

_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"blend": 0}),  # a frame replaces what was there
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
    ".tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
}


@dataclass(frozen=True)
class Frames:
    """The frames or pages of a file that are pictures of their own."""

    numbers: tuple[int, ...]
    """Their places in the file: a TIFF's smaller copies, and a still that stands for an APNG, are left out."""
    milliseconds: tuple[float, ...] = ()
    """How long each is shown, in an animation."""
    loop: int = 0
    """How often they are shown; 0 is for ever."""
    suffix: str = ".png"
    """What a file of as many is to be called."""


def frames_of(content: bytes, *, name: str) -> Frames:
    """Look through a file for its frames.

    Raises:
        InputError: it cannot be decoded.
    """
    if is_exr(content):
        return Frames((0,))
    with told(name, FORMATS):
        if is_tiff(content):
            return Frames(tiff_pages(content), suffix=".tif")
        with Image.open(io.BytesIO(content), formats=usable_formats(FORMATS, content, name)) as picture:
            form = picture.format or ""
            count = getattr(picture, "n_frames", 1) if form in _WRITTEN_AS else 1
            if count == 1:
                return Frames((0,))
            numbers = tuple(range(1 if picture.info.get("default_image") else 0, count))
            if form == "HEIF":
                return Frames(numbers, suffix=_WRITTEN_AS[form])
            milliseconds = tuple(_milliseconds(picture, number) for number in numbers)
            loop = int(picture.info.get("loop", 1 if form == "GIF" else 0))  # a GIF that does not say it plays once
            return Frames(numbers, milliseconds, loop, _WRITTEN_AS[form])


def require_single(content: bytes, *, name: str) -> None:
    """Refuse a file of several frames or pages where one picture is meant.

    Raises:
        InputError: it is one, or cannot be decoded.
    """
    count = len(frames_of(content, name=name).numbers)
    if count > 1:
        raise InputError(f"{name} has {count} frames or pages: give a file of each")


def _milliseconds(picture: Image.Image, number: int) -> float:
    picture.seek(number)
    picture.load()  # WebP says it only then
    return float(picture.info.get("duration", 0))


def encode_frames(
    pages: Sequence[NDArray[np.integer]], frames: Frames, *, suffix: str, dpi: tuple[float, float] | None = None
) -> bytes:
    """Encode as many pictures as there are frames, without loss, as APNG, animated WebP or TIFF.

    Args:
        pages: (H, W) or (H, W, C), of 8 bits, in TIFF also of 16; those of an animation are of one size.
        frames: How long they are shown.
        suffix: `.png`, `.webp` or `.tif`.
        dpi: Pixels per inch along x and y, for PNG and TIFF.
    """
    if pages[0].dtype == np.uint16:
        return deep_tiff(pages, None, dpi)
    form, options = _OPTIONS[suffix]
    if frames.milliseconds and form != "TIFF":
        options = {**options, "duration": [round(time) for time in frames.milliseconds], "loop": frames.loop}
    stream = io.BytesIO()
    first, *others = map(Image.fromarray, pages)
    first.save(stream, form, save_all=True, append_images=others, dpi=dpi, **options)
    return stream.getvalue()
