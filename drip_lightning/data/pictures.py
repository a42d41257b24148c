"""From the bytes of a picture file to 8-bit pixels in NumPy; nothing is decoded before its size is known.

Kept apart from the tensors of `decode` so that a process that only converts pictures starts without PyTorch.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

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

_MODES_IN = {"RGB": ("RGB", "RGBA", "P", "PA", "L", "LA", "1"), "GRAY": ("L", "LA", "1"), "CMYK": ("CMYK",)}
"""Pillow's modes whose numbers a profile of a colour space can describe; the first is what is converted."""

_ORIENTATION, _PROFILE = 0x0112, 34675
"""Tags of EXIF and TIFF."""

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
"""The profile of sRGB."""

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


def colour_pixels(picture: Image.Image) -> NDArray[np.uint8]:
    """Colour of a picture of any mode in sRGB, (H, W, 3); transparency is dropped.

    An embedded colour profile says what the numbers mean. Without one, or with one that cannot be used, they are sRGB.
    """
    profile, space = foreign_profile(picture)
    if picture.mode.startswith("I"):
        picture = Image.fromarray(grey_pixels(picture))
    if profile is None or picture.mode not in _MODES_IN[space]:
        return np.array(without_alpha(picture))
    try:
        converted = ImageCms.profileToProfile(
            without_alpha(picture) if space == "RGB" else picture.convert(_MODES_IN[space][0]),
            profile,
            ImageCms.createProfile("sRGB"),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except ImageCms.PyCMSError:  # it opens, but lacks what a conversion needs
        return np.array(without_alpha(picture))
    return np.array(converted)


def colour_floats(picture: Image.Image, values: NDArray[np.uint16] | None) -> NDArray[np.float32]:
    """Colour of a picture in sRGB, (H, W, 3), in [0, 1]: of more than eight bits, if it has them.

    Args:
        picture: As `colour_pixels` takes it.
        values: Its `open_values`, in the same orientation.
    """
    profile, space = foreign_profile(picture)
    is_rgb = values is not None and values.shape[2] >= 3
    if values is None or (profile is not None and (space != "RGB" or not is_rgb)):
        return np.divide(colour_pixels(picture), 255, dtype=np.float32)
    colour = np.divide(values[..., :3] if is_rgb else values[..., :1].repeat(3, axis=2), 65535, dtype=np.float32)
    if profile is None:
        return colour
    with suppress(RuntimeError, ValueError):  # it lacks what a conversion needs
        colour = transformed(colour, source=picture.info["icc_profile"], target=SRGB).clip(0, 1)
    return colour


def transformed(colours: NDArray[np.floating], *, source: bytes, target: bytes) -> NDArray[np.float32]:
    """Colours (H, W, 3), 0 to 1, of one RGB profile in another; relative colorimetric, with black point compensation.

    Raises:
        RuntimeError: a profile cannot be used.
        ValueError: likewise.
    """
    import imagecodecs

    converted: NDArray[np.float32] = imagecodecs.cms_transform(
        np.ascontiguousarray(colours, np.float32),
        source,
        target,
        colorspace="rgb",
        outcolorspace="rgb",
        outdtype=np.float32,
        intent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    return converted


def foreign_profile(picture: Image.Image) -> tuple[ImageCms.ImageCmsProfile | None, str]:
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
        return eight_bits(np.asarray(picture).clip(0, 65535).astype(np.uint16))
    return np.array(picture.convert("L"))


def without_alpha(picture: Image.Image) -> Image.Image:
    """Its colours alone; a palette with alpha would have Pillow warn."""
    return (picture.convert("RGBA") if picture.mode == "P" else picture).convert("RGB")


def opacity(picture: Image.Image) -> NDArray[np.uint8]:
    """The picture's own alpha, (H, W); 255 in one without."""
    if not picture.has_transparency_data or picture.mode.startswith("I"):
        return np.full(picture.size[::-1], 255, np.uint8)
    return np.array(picture.convert("RGBA"))[..., 3]


def rgba_pixels(picture: Image.Image, *, name: str) -> NDArray[np.uint8]:
    """Straight colour in sRGB and alpha, (H, W, 4).

    Raises:
        InputError: the picture has no transparency.
    """
    if not picture.has_transparency_data:
        raise InputError(f"{name} has no alpha channel (its mode is {picture.mode})")
    return np.dstack([colour_pixels(picture), opacity(picture)])
