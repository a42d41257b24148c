"""From pixels to the bytes of a picture file, in eight or sixteen bits."""

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drip_lightning.data.exr import write_exr
from drip_lightning.errors import InputError


@dataclass(frozen=True)
class Format:
    """A format of picture files that can carry a matte without loss."""

    name: str
    suffixes: tuple[str, ...]
    """What its files' names end with; the first is what is written."""
    bits: tuple[int, ...]
    """What a channel may have; the first unless told otherwise."""
    longest_side: int

    @property
    def is_linear(self) -> bool:
        """Whether it holds premultiplied linear light, not straight colour in sRGB or a profile."""
        return self.name == "exr"


FORMATS = {
    form.name: form
    for form in (
        Format("png", (".png",), (8, 16), (1 << 31) - 1),
        Format("webp", (".webp",), (8,), 16383),
        Format("tiff", (".tif", ".tiff"), (8, 16), (1 << 31) - 1),
        Format("exr", (".exr",), (16,), (1 << 31) - 1),
    )
}


def encode_picture(
    pixels: NDArray[np.floating],
    form: Format,
    *,
    bits: int,
    profile: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> bytes:
    """Encode a picture; values are rounded, and clipped to [0, 1] except in OpenEXR.

    Args:
        pixels: (H, W, C): alpha, colour, or straight colour and alpha, for C of 1, 3 or 4. OpenEXR: linear light, not
            bounded; colour is premultiplied on the way.
        form: One of `FORMATS`.
        bits: One of the format's; OpenEXR's are half floats.
        profile: The colour profile that says what the values mean; none for sRGB, and with OpenEXR.
        dpi: Pixels per inch along x and y, for PNG and TIFF.

    Raises:
        InputError: the format cannot hold so many pixels a side.
    """
    if form.is_linear:
        channels = pixels.shape[2]
        return write_exr(
            colour=pixels[..., :3] if channels > 1 else None, alpha=None if channels == 3 else pixels[..., -1]
        )
    values = rounded(pixels, form, bits=bits)
    if bits == 8:
        return _eight_bits(Image.fromarray(values), form, profile, dpi)
    return _deep_png(values, profile, dpi) if form.name == "png" else deep_tiff([values], profile, dpi)


def rounded(pixels: NDArray[np.floating], form: Format, *, bits: int) -> NDArray[np.integer]:
    """A picture's values as a format holds them, rounded and clipped; arguments and errors as `encode_picture`.

    Returns:
        (H, W, C), or (H, W) for one channel, of as many bits.
    """
    height, width, channels = pixels.shape
    if max(height, width) > form.longest_side:
        raise InputError(
            f"{width}x{height} pixels are too many for {form.name}, which ends at {form.longest_side} a side: "
            "choose --format png"
        )
    values = np.rint(pixels.clip(0, 1) * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    return values[..., 0] if channels == 1 else values


def _eight_bits(picture: Image.Image, form: Format, profile: bytes | None, dpi: tuple[float, float] | None) -> bytes:
    all_options: dict[str, dict[str, Any]] = {
        "png": {"dpi": dpi},
        "webp": {"lossless": True, "exact": True},
        "tiff": {"dpi": dpi, "compression": "tiff_adobe_deflate"},
    }
    stream = io.BytesIO()
    picture.save(stream, form.name, icc_profile=profile, **all_options[form.name])
    return stream.getvalue()


def _deep_png(values: NDArray[np.integer], profile: bytes | None, dpi: tuple[float, float] | None) -> bytes:
    import imagecodecs

    png = bytes(imagecodecs.png_encode(np.ascontiguousarray(values), level=3))
    extra = b"" if profile is None else _chunk(b"iCCP", b"profile\0\0" + zlib.compress(profile))
    if dpi is not None:
        extra += _chunk(b"pHYs", struct.pack(">IIB", *(round(density / 0.0254) for density in dpi), 1))
    header = 8 + 25  # the signature, and the chunk that comes first
    return png[:header] + extra + png[header:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def deep_tiff(pages: Sequence[NDArray[np.integer]], profile: bytes | None, dpi: tuple[float, float] | None) -> bytes:
    """Encode pages as `rounded` gives them, of 16 bits, in one TIFF file."""
    import tifffile

    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as file:
        for values in pages:
            file.write(
                values,
                photometric="minisblack" if values.ndim == 2 else "rgb",
                extrasamples=["unassalpha"] if values.shape[2:] == (4,) else None,
                compression="zlib",
                predictor=True,
                metadata=None,
                iccprofile=profile,
                resolution=dpi,
                resolutionunit=None if dpi is None else "INCH",
            )
    return stream.getvalue()
