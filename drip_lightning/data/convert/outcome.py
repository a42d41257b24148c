"""What becomes of one sample: members to be written, or a refusal; and what both are made from."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drip_lightning.data.maps import map_pixels
from drip_lightning.data.orientation import ways_to_lie
from drip_lightning.data.picture_files import FORMATS, read_file
from drip_lightning.data.pictures import TooBigError, open_picture, orientation_of
from drip_lightning.data.pixels import colour_pixels
from drip_lightning.errors import InputError

Bytes = NDArray[np.uint8]


class Refusal(Exception):
    """A picture cannot become a sample; `what` is short and the same for all such pictures.

    `file` is the one that is to blame, where that is certain: a sample may have several.
    """

    def __init__(self, what: str, detail: str = "", *, file: str = "") -> None:
        super().__init__(what, detail)
        self.what = what
        self.detail = detail
        self.file = file


@dataclass(frozen=True)
class Sample:
    """What is to be written for a job."""

    members: Mapping[str, bytes]
    """Encoded, by extension."""
    digest: str
    """Of the pixels: equal for what is the same picture in two files."""
    warnings: tuple[str, ...] = ()
    """Short, and the same for all such samples."""


@dataclass(frozen=True)
class PictureFile:
    """A file of a source, read once."""

    path: str
    content: bytes
    picture: Image.Image

    @property
    def colour(self) -> Bytes:
        """Colour (H, W, 3) in sRGB."""
        return colour_pixels(self.picture)

    @property
    def orientation(self) -> int:
        """How the picture lies in the file, in EXIF's numbers; 1 is upright."""
        return orientation_of(self.content, name=self.path, formats=FORMATS)


def read_picture(path: str, *, upright: bool = True) -> PictureFile:
    """Read a file and decode it.

    Raises:
        Refusal: it cannot be read or decoded, or is too big for it.
    """
    try:
        content = read_file(Path(path))
        return PictureFile(path, content, open_picture(content, name="it", formats=FORMATS, upright=upright))
    except TooBigError as error:
        raise Refusal("too many pixels", _reason(error, path), file=path) from error
    except InputError as error:
        raise Refusal("unreadable", _reason(error, path), file=path) from error


def _reason(error: InputError, path: str) -> str:
    """The file is named by who reports."""
    return str(error).removeprefix("it ").removeprefix(f"{path} ")


def read_grey(path: str) -> Bytes:
    """A map (H, W) of a file as `map_pixels` understands it; errors as `read_picture`, or values that say nothing."""
    return _grey(read_picture(path))


def _grey(file: PictureFile) -> Bytes:
    try:
        return map_pixels(file.picture, name=Path(file.path).name)
    except InputError as error:
        raise Refusal("no mask, trimap or matte", str(error), file=file.path) from error


def read_matching(path: str, *, picture: PictureFile) -> Bytes:
    """A map (H, W) as `read_grey`, which may lie as its picture does in the file, if EXIF rotates that.

    Args:
        path: The map's file.
        picture: What it belongs to, upright.

    Raises:
        Refusal: as `read_grey`; or the size does not tell how the map lies.
    """
    file = read_picture(path)
    pixels, size = _grey(file), (picture.picture.height, picture.picture.width)
    ways = ways_to_lie(pixels, size, orientation=picture.orientation if file.orientation == 1 else 1)
    if len(ways) == 2:
        why = f"whether {Path(path).name} is, too, its size does not tell: rotate the pixels instead"
        raise Refusal("rotated by EXIF", why, file=picture.path)
    return next(iter(ways.values()), pixels)


def require_equal_sizes(**pictures: Bytes) -> None:
    """Refuse pictures, by role, of different sizes."""
    if len({picture.shape[:2] for picture in pictures.values()}) > 1:
        sizes = ", ".join(f"{role} {picture.shape[1]}x{picture.shape[0]}" for role, picture in pictures.items())
        raise Refusal("sizes differ", sizes)


def digest_of(*pictures: Bytes) -> str:
    """A digest of shapes and pixels."""
    digest = hashlib.blake2b(digest_size=16)
    for picture in pictures:
        digest.update(str(picture.shape).encode())
        digest.update(np.ascontiguousarray(picture).data)
    return digest.hexdigest()


def encode(picture: Bytes, form: str, **options: Any) -> bytes:
    """A picture file in memory.

    Raises:
        Refusal: the format cannot hold it: JPEG ends at 65,500 pixels a side.
    """
    stream = io.BytesIO()
    try:
        Image.fromarray(picture).save(stream, form, **options)
    except (OSError, ValueError) as error:
        raise Refusal(f"cannot become {form}", str(error)) from error
    return stream.getvalue()


def encode_png(picture: Bytes) -> bytes:
    """A PNG, packed no tighter than pays: level 6 takes thrice the time for a tenth of the size."""
    return encode(picture, "PNG", compress_level=3)
