"""Files that say what their colours are without a profile."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from drip_lightning.data.picture_files import FORMATS
from drip_lightning.data.pictures import open_picture, open_with_values
from drip_lightning.data.pixels import colour_floats, colour_pixels
from drip_lightning.errors import InputError

COLOUR = (210, 40, 49)
P3_IN_SRGB = (229, 0, 38)


def saved(form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), COLOUR).save(stream, form, **options)
    return stream.getvalue()


def png(name: bytes, content: bytes, whole: bytes) -> bytes:
    """A PNG with another chunk behind its header."""
    chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return whole[:33] + chunk + whole[33:]


def isobmff(form: str, primaries: int, transfer: int) -> bytes:
    content = saved(form, quality=100)
    place = content.index(b"colrnclx") + 8
    return content[:place] + struct.pack(">HH", primaries, transfer) + content[place + 4 :]


def seen(content: bytes) -> np.ndarray:
    return colour_pixels(open_picture(content, name="x", formats=FORMATS))[8, 8].astype(int)


def test_display_p3_of_png_and_avif_is_converted() -> None:
    for content in (png(b"cICP", bytes((12, 13, 0, 1)), saved("PNG")), isobmff("AVIF", 12, 13)):
        assert np.abs(seen(content) - P3_IN_SRGB).max() <= 2
    for content in (png(b"cICP", bytes((1, 13, 0, 1)), saved("PNG")), isobmff("AVIF", 1, 13)):
        assert np.abs(seen(content) - COLOUR).max() <= 2


def test_display_p3_of_heic_is_converted() -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    assert np.abs(seen(isobmff("HEIF", 12, 13)) - P3_IN_SRGB).max() <= 3


def test_pngs_of_sixteen_bits_say_it_too() -> None:
    import imagecodecs

    whole = bytes(imagecodecs.png_encode(np.full((16, 16, 3), COLOUR, np.uint16) * 257))
    picture, values = open_with_values(png(b"cICP", bytes((12, 13, 0, 1)), whole), name="x")
    assert np.abs(colour_floats(picture, values)[8, 8] * 255 - P3_IN_SRGB).max() <= 1


def test_hdr_is_refused_by_name() -> None:
    for transfer, word in ((16, "PQ"), (18, "HLG")):
        with pytest.raises(InputError, match=rf"x is HDR \({word}\): save it with the brightness of a screen"):
            seen(isobmff("AVIF", 9, transfer))


def test_a_png_in_linear_light_is_converted() -> None:
    linear = png(b"gAMA", struct.pack(">I", 100000), saved("PNG"))
    expected = [255 * (1.055 * (value / 255) ** (1 / 2.4) - 0.055) for value in COLOUR]
    assert np.abs(seen(linear) - expected).max() <= 1
    usual = png(b"gAMA", struct.pack(">I", 45455), saved("PNG"))
    assert tuple(seen(usual)) == COLOUR


def test_adobe_rgb_of_cameras_is_told_by_exif() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    found = seen(saved("JPEG", exif=exif, quality=100, subsampling=0))
    assert np.abs(found - (244, 35, 46)).max() <= 2
