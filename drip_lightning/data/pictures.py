"""From the bytes of a picture file to 8-bit pixels in NumPy; nothing is decoded before its size is known.

Kept apart from the tensors of `decode` so that a process that only converts pictures starts without PyTorch.
"""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from drip_lightning.errors import InputError, reason_of

MAX_PIXELS = 1 << 26
"""Largest picture that is decoded, width times height: 67 megapixels."""

FORMATS = ("PNG", "JPEG", "WEBP")
"""What shards hold; nothing else is tried."""

_MODES_IN = {"RGB": ("RGB", "RGBA", "P", "PA", "L", "LA", "1"), "GRAY": ("L", "LA", "1"), "CMYK": ("CMYK",)}
"""Pillow's modes whose numbers a profile of a colour space can describe; the first is what is converted."""

_DECODE_ERRORS = (OSError, EOFError, SyntaxError, ValueError, struct.error, zlib.error)


class TooBigError(InputError):
    """A picture has more than `MAX_PIXELS`, and is not decoded."""


def open_picture(content: bytes, *, name: str, formats: tuple[str, ...] = FORMATS, upright: bool = True) -> Image.Image:
    """Decode a picture as it is.

    Args:
        content: The file.
        name: What to call it in an error.
        formats: Pillow's names of the formats that may be tried.
        upright: Turn it as its EXIF says.

    Raises:
        TooBigError: it has more than `MAX_PIXELS`.
        InputError: it cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(content), formats=formats) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise TooBigError(f"{name} has {width}x{height} pixels, more than {MAX_PIXELS} are not decoded")
            picture.load()
            if picture.mode == "F":
                raise InputError(f"{name} has floating-point pixels: give 8 or 16 bits")
            return ImageOps.exif_transpose(picture) if upright else picture.copy()
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise TooBigError(f"{name} has more than {MAX_PIXELS} pixels, which are not decoded") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{name} cannot be decoded: it is none of {', '.join(formats)}") from error
    except _DECODE_ERRORS as error:
        raise InputError(f"{name} cannot be decoded: {reason_of(error)}") from error


def colour_pixels(picture: Image.Image) -> NDArray[np.uint8]:
    """Colour of a picture of any mode in sRGB, (H, W, 3); transparency is dropped.

    An embedded colour profile says what the numbers mean. Without one, or with one that cannot be used, they are sRGB.
    """
    profile, space = _foreign_profile(picture)
    if picture.mode.startswith("I"):
        picture = Image.fromarray(grey_pixels(picture))
    if profile is None or picture.mode not in _MODES_IN[space]:
        return np.array(picture.convert("RGB"))
    try:
        converted = ImageCms.profileToProfile(
            picture.convert(_MODES_IN[space][0]),
            profile,
            ImageCms.createProfile("sRGB"),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except ImageCms.PyCMSError:  # it opens, but lacks what a conversion needs
        return np.array(picture.convert("RGB"))
    return np.array(converted)


def _foreign_profile(picture: Image.Image) -> tuple[ImageCms.ImageCmsProfile | None, str]:
    """The embedded profile and its colour space; none where the numbers are sRGB already or the profile is broken."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"] or b""))
        space = profile.profile.xcolor_space.strip()
        is_srgb = (profile.profile.profile_description or "").startswith("sRGB")
    except (KeyError, OSError):
        return None, ""
    return (profile, space) if space in _MODES_IN and not is_srgb else (None, "")


def grey_pixels(picture: Image.Image) -> NDArray[np.uint8]:
    """A picture used as a map (alpha, trimap), (H, W); 16 bits are rounded to 8, colour to its luma."""
    if picture.mode.startswith("I"):  # 16 bits: I;16, I;16B, or I in older files
        levels = np.asarray(picture).astype(np.int64).clip(0, 65535)
        return ((levels + 128) // 257).astype(np.uint8)
    return np.array(picture.convert("L"))


def rgba_pixels(picture: Image.Image, *, name: str) -> NDArray[np.uint8]:
    """Straight colour in sRGB and alpha, (H, W, 4).

    Raises:
        InputError: the picture has no transparency.
    """
    if not picture.has_transparency_data:
        raise InputError(f"{name} has no alpha channel (its mode is {picture.mode})")
    return np.dstack([colour_pixels(picture), np.asarray(picture.convert("RGBA"))[..., 3]])
