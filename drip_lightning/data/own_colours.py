"""A picture's own colours: in its colour profile, or in linear light, beyond what sRGB holds of them."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from drip_lightning.data.exr import is_exr, read_exr
from drip_lightning.data.picture_files import FORMATS
from drip_lightning.data.pictures import open_with_values
from drip_lightning.data.pixels import SRGB, foreign_profile, transformed
from drip_lightning.errors import InputError, raised_as
from drip_lightning.ops.srgb import srgb_to_linear

Colours = NDArray[np.floating]
"""(H, W, 3)."""


@dataclass(frozen=True)
class OwnColours:
    """How to write colours as a picture has them."""

    encode: Callable[[Colours], Colours]
    """From sRGB, 0 to 1, to the picture's own values."""
    values: Colours | None = None
    """The picture's own, upright; none if they are sRGB themselves."""
    profile: bytes | None = None
    """The colour profile that says what the values mean."""

    def of(self, foreground: Colours, *, image: Colours, alpha: NDArray[np.floating]) -> Colours:
        """A foreground in the picture's own values.

        Networks see the picture in sRGB, bounded. What that lost is shared by alpha: all of it where alpha is 1, where
        the foreground is the picture's own; nothing where it is 0.

        Args:
            foreground: (H, W, 3) in sRGB, 0 to 1.
            image: (H, W, 3), the picture in sRGB, 0 to 1.
            alpha: (H, W, 1), 0 to 1.
        """
        encoded = self.encode(foreground)
        return encoded if self.values is None else encoded + alpha * (self.values - self.encode(image))


def srgb_colours() -> OwnColours:
    """Colours in sRGB, whatever the picture's are."""
    return OwnColours(encode=lambda colours: colours)


def linear_colours(content: bytes, *, name: str) -> OwnColours:
    """Colours in linear light, and those of an OpenEXR picture beyond 0 and 1."""
    values = read_exr(content, name=name).colour if is_exr(content) else None
    return OwnColours(encode=srgb_to_linear, values=values)


def profile_colours(content: bytes, *, name: str) -> OwnColours:
    """Colours in a picture's own profile; sRGB where it has none.

    Args:
        content: The picture's file.
        name: What to call it in an error.

    Raises:
        InputError: its profile is not one of RGB colours, or cannot be used.
    """
    if is_exr(content):
        return srgb_colours()
    picture, deep = open_with_values(content, name=name, formats=FORMATS)
    found, space = foreign_profile(picture)
    if found is None:
        return srgb_colours()
    if space != "RGB":
        raise InputError(f"{name} has a profile of {space} colours, and its result RGB: leave out --keep-profile")
    shown = np.asarray(picture.convert("RGB")) if deep is None else deep[..., :3]
    values = shown / np.float32(np.iinfo(shown.dtype).max)
    profile = picture.info["icc_profile"]
    encode = partial(transformed, source=SRGB, target=profile)
    advice = "leave out --keep-profile"
    with raised_as(
        InputError, RuntimeError, ValueError, message=lambda why: f"{name}'s profile cannot be used ({why}): {advice}"
    ):
        encode(values[:1, :1])
    return OwnColours(encode, values, profile)


def density_of(content: bytes) -> tuple[float, float] | None:
    """A picture's pixels per inch along x and y; none if it does not say."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            x, y = picture.info.get("dpi", (0, 0))
    except UnidentifiedImageError:  # OpenEXR, and TIFFs that only tifffile reads
        return None
    return (float(x), float(y)) if min(x, y) > 1 else None
