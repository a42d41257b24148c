"""Colours that a file declares in other words than a profile: a profile is made of them."""

from functools import cache

import numpy as np
from PIL import Image

from drip_lightning.errors import InputError

_SRGB = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
_ADOBE_RGB = (0.640, 0.330, 0.210, 0.710, 0.150, 0.060)
_PRIMARIES = {9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046), 12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)}
"""Chromaticities of red, green and blue, x and y each, by H.273's numbers: Rec. 2020 and Display P3; all around D65."""
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
"""H.273's transfer characteristics that are powers; what is not here is near sRGB's, or one of `_HDR`."""
_HDR = {16: "PQ", 18: "HLG"}

_INTEROPERABILITY, _ADOBE_INDEX = 0xA005, "R03"
"""EXIF's word of cameras for Adobe RGB."""
_USUAL_GAMMA = (0.42, 0.49)
"""What PNGs in sRGB say, whose curve is near the power 1 / 0.45455."""


def declared_profile(content: bytes, picture: Image.Image, *, name: str) -> bytes | None:
    """The ICC profile of what a file says of its colours: `cICP` and `gAMA` of PNG, `nclx` of AVIF and HEIC, or EXIF.

    Args:
        content: The file.
        picture: As Pillow opened it, without a profile.
        name: What to call it in an error.

    Returns:
        None for sRGB, and for what is not declared.

    Raises:
        InputError: it is HDR, which has no meaning in sRGB without a choice of how to map its brightness.
    """
    points = _code_points(content, picture.format or "")
    if points is not None:
        primaries, transfer = points
        if transfer in _HDR:
            raise InputError(f"{name} is HDR ({_HDR[transfer]}): save it with the brightness of a screen, as sRGB")
        if primaries not in _PRIMARIES and transfer not in _GAMMAS:
            return None
        return _profile(_PRIMARIES.get(primaries, _SRGB), _GAMMAS.get(transfer))
    if "exif" in picture.info and picture.getexif().get_ifd(_INTEROPERABILITY).get(1) == _ADOBE_INDEX:
        return _profile(_ADOBE_RGB, 563 / 256)
    gamma = picture.info.get("gamma", 0.45455) if "srgb" not in picture.info else 0.45455
    low, high = _USUAL_GAMMA
    return None if not gamma or low < gamma < high else _profile(_SRGB, 1 / gamma)


def _code_points(content: bytes, form: str) -> tuple[int, int] | None:
    """H.273's numbers of primaries and transfer characteristics."""
    if form == "PNG":
        place = content.find(b"cICP", 0, content.find(b"IDAT"))
        return None if place < 0 else (content[place + 4], content[place + 5])
    place = content.find(b"colrnclx") if form in ("AVIF", "HEIF") else -1
    return None if place < 0 else (content[place + 9], content[place + 11])


@cache
def _profile(primaries: tuple[float, ...], gamma: float | None) -> bytes:
    """Of an RGB space around D65; without a gamma with sRGB's curve."""
    import imagecodecs

    values = np.linspace(0, 1, 4096)
    curve = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    profile: bytes = imagecodecs.cms_profile(
        "rgb",
        whitepoint=(0.3127, 0.3290, 1.0),
        primaries=[number for x, y in zip(primaries[::2], primaries[1::2], strict=True) for number in (x, y, 1.0)],
        transferfunction=(curve * 65535).round().astype(np.uint16) if gamma is None else None,
        gamma=gamma,
    )
    return profile
