"""From the bytes of a picture file to a picture; nothing is decoded before its size is known.

What its numbers mean is for `pixels`. Kept apart from the tensors of `decode` so that a process that only converts
pictures starts without PyTorch.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from drip_lightning.data.declared_colours import declared_profile
from drip_lightning.data.deep import deep_size, deep_values, eight_bits, is_tiff, tiff_tag
from drip_lightning.data.orientation import apply_orientation
from drip_lightning.errors import InputError, reason_of

MAX_PIXELS = 1 << 26
"""Largest picture that is decoded, width times height: 67 megapixels."""

FORMATS = ("PNG", "JPEG", "WEBP")
"""What shards hold; nothing else is tried."""

_HEIF = (b"ftypheic", b"ftypheix", b"ftypheim", b"ftypheis", b"ftyphevc", b"ftyphevx", b"ftypmif1", b"ftypmsf1")
"""How HEIC files begin, after four bytes."""

_ORIENTATION, _PROFILE = 0x0112, 34675
"""Tags of EXIF and TIFF."""

_DECODE_ERRORS = (OSError, EOFError, SyntaxError, ValueError, RuntimeError, struct.error, zlib.error)


class TooBigError(InputError):
    """A picture has more than `MAX_PIXELS`, and is not decoded."""


def open_picture(
    content: bytes, *, name: str, formats: tuple[str, ...] = FORMATS, upright: bool = True, frame: int = 0
) -> Image.Image:
    """Decode a picture as it is; more than eight bits of colour are rounded to eight, as Pillow has no room for them.

    Args:
        content: The file.
        name: What to call it in an error.
        formats: Pillow's names of the formats that may be tried.
        upright: Rotate it as its EXIF says.
        frame: Which one of an animation, or which page of a TIFF file.

    Raises:
        TooBigError: it has more than `MAX_PIXELS`.
        InputError: it cannot be decoded.
    """
    with told(name, formats):
        values = open_values(content, name=name, formats=formats, page=frame)
        return _decoded(content, values, name=name, formats=formats, upright=upright, frame=frame)


def open_with_values(
    content: bytes, *, name: str, formats: tuple[str, ...] = FORMATS, frame: int = 0
) -> tuple[Image.Image, NDArray[np.uint16] | None]:
    """A picture as `open_picture` and its `open_values`, both upright; the file is decoded once.

    Arguments and errors are those of `open_picture`.
    """
    with told(name, formats):
        values = open_values(content, name=name, formats=formats, page=frame)
        picture = _decoded(content, values, name=name, formats=formats, upright=True, frame=frame)
    if values is not None:
        values = apply_orientation(values, orientation_of(content, name=name, formats=formats, frame=frame))
    return picture, values


def open_values(
    content: bytes, *, name: str, formats: tuple[str, ...] = FORMATS, page: int = 0
) -> NDArray[np.uint16] | None:
    """Values of a picture of more than eight bits as `deep_values`, as it lies in the file; None for any other.

    Arguments and errors are those of `open_picture`.
    """
    with told(name, formats):
        size = deep_size(content, page=page) if "TIFF" in formats or not is_tiff(content) else None
        if size is None:
            return None
        require_size(*size, name=name)
        return deep_values(content, name=name, page=page)


def size_of(content: bytes, *, name: str, formats: tuple[str, ...] = FORMATS) -> tuple[int, int]:
    """Width and height of a picture as it lies in its file, of several the first, without decoding it.

    Arguments and errors are those of `open_picture`.
    """
    with told(name, formats):
        size = deep_size(content) if "TIFF" in formats or not is_tiff(content) else None
        if size is None:
            with _opened(content, formats, 0, name) as picture:
                size = picture.size
        require_size(*size, name=name)
        return size


def orientation_of(content: bytes, *, name: str, formats: tuple[str, ...] = FORMATS, frame: int = 0) -> int:
    """How a picture lies in its file, in EXIF's numbers 1 to 8; 1 is upright.

    Arguments and errors are those of `open_picture`.
    """
    with told(name, formats):
        if is_tiff(content):
            orientation = tiff_tag(content, _ORIENTATION, page=frame)
        else:
            with _opened(content, formats, frame, name) as picture:
                orientation = picture.info.get("original_orientation") or picture.getexif().get(_ORIENTATION)
    return orientation if orientation in range(1, 9) else 1


def require_size(width: int, height: int, *, name: str) -> None:
    """Refuse a picture of more than `MAX_PIXELS`.

    Raises:
        TooBigError: it is one.
    """
    if width * height > MAX_PIXELS:
        raise TooBigError(
            f"{name} has {width}x{height} pixels, more than {MAX_PIXELS} are not decoded: make it smaller"
        )


@contextmanager
def told(name: str, formats: tuple[str, ...]) -> Iterator[None]:
    """Say what libraries complain of in a line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of much that can be read all the same
            yield
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        message = f"{name} has more than {MAX_PIXELS} pixels, which are not decoded: make it smaller"
        raise TooBigError(message) from error
    except UnidentifiedImageError as error:
        raise InputError(f"{name} cannot be decoded: it is none of {', '.join(formats)}") from error
    except _DECODE_ERRORS as error:
        raise InputError(f"{name} cannot be decoded: {reason_of(error)}") from error


def _decoded(
    content: bytes, values: NDArray[np.uint16] | None, *, name: str, formats: tuple[str, ...], upright: bool, frame: int
) -> Image.Image:
    """The picture, from its deep values if it has some."""
    with (
        _opened(content, formats, frame, name) if values is None else _rounded(content, values, frame, name) as picture
    ):
        require_size(*picture.size, name=name)
        picture.load()
        return ImageOps.exif_transpose(picture) if upright else picture.copy()


def _opened(content: bytes, formats: tuple[str, ...], frame: int, name: str) -> Image.Image:
    picture = Image.open(io.BytesIO(content), formats=usable_formats(formats, content, name))
    picture.seek(frame)
    return _with_profile(content, picture, name)


def _with_profile(content: bytes, picture: Image.Image, name: str) -> Image.Image:
    if not picture.info.get("icc_profile"):
        picture.info["icc_profile"] = declared_profile(content, picture, name=name)
    return picture


def _rounded(content: bytes, values: NDArray[np.uint16], page: int, name: str) -> Image.Image:
    """Deep values as Pillow can hold them: grey in sixteen bits, all else in eight; with profile and orientation."""
    is_grey = values.shape[2] == 3 and bool((values == values[..., :1]).all())
    picture = Image.fromarray(values[..., 0] if is_grey or values.shape[2] == 1 else eight_bits(values))
    if is_tiff(content):
        profile = tiff_tag(content, _PROFILE, page=page)
        orientation = tiff_tag(content, _ORIENTATION, page=page)
    else:
        with _with_profile(content, Image.open(io.BytesIO(content)), name) as header:
            profile, orientation = header.info.get("icc_profile"), header.getexif().get(_ORIENTATION)
    if profile is not None:
        picture.info["icc_profile"] = profile
    picture.getexif()[_ORIENTATION] = orientation or 1
    return picture


def usable_formats(formats: tuple[str, ...], content: bytes, name: str) -> tuple[str, ...]:
    """The formats, with HEIF only where the file is in it: pillow-heif is an extra."""
    if "HEIF" not in formats or content[4:12] not in _HEIF or b"avif" in content[12:64]:
        return tuple(form for form in formats if form != "HEIF")
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise InputError(f"{name} is HEIC, which pillow-heif reads: pip install 'drip_lightning[heif]'") from error
    register_heif_opener()
    return formats
