"""From a picture as Pillow has it to pixels in NumPy, in sRGB: colours, greys and alphas of any mode."""

import io
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from drip_lightning.data.deep import eight_bits
from drip_lightning.errors import InputError

_MODES_IN = {"RGB": ("RGB", "RGBA", "P", "PA", "L", "LA", "1"), "GRAY": ("L", "LA", "1"), "CMYK": ("CMYK",)}
"""Pillow's modes whose numbers a profile of a colour space can describe; the first is what is converted."""

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
"""The profile of sRGB."""


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
