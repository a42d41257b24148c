import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from drip_lightning.data import pictures
from drip_lightning.data.maps import map_pixels
from drip_lightning.data.picture_files import FORMATS
from drip_lightning.data.pictures import TooBigError, open_picture, open_values, open_with_values
from drip_lightning.data.pixels import colour_floats, colour_pixels, opacity, rgba_pixels
from drip_lightning.errors import InputError
from tests.data.test_pixels import display_p3

VALUES = np.array([[[127, 128, 129, 65535], [128 * 257 - 129, 128 * 257 - 128, 65407, 40000]]], np.uint16)
ROUNDED = [[0, 0, 1, 255], [127, 128, 255, 156]]
"""By hand: value V is V / 257 of 255. 128 / 257 is just below a half, 129 / 257 just above; 40000 / 257 is 155.6."""
TRIMAP = np.array([[0, 0, 128, 255], [0, 128, 128, 255]], np.uint8)


def png(values: np.ndarray, *chunks: bytes) -> bytes:
    """A PNG of sixteen bits, (H, W, C)."""
    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, (0, 4, 2, 6)[channels - 1], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def tiff(values: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, **options)
    return stream.getvalue()


def opened(content: bytes) -> Image.Image:
    return open_picture(content, name="x", formats=FORMATS)


@pytest.mark.parametrize(
    "content",
    [
        png(VALUES),
        tiff(VALUES, photometric="rgb", extrasamples=["unassalpha"]),
        tiff(VALUES, photometric="rgb", extrasamples=["unassalpha"], compression="lzw", predictor=True),
        tiff(VALUES.transpose(2, 0, 1), photometric="rgb", extrasamples=["unassalpha"], planarconfig="separate"),
        tiff(VALUES, photometric="rgb", extrasamples=["unassalpha"], byteorder=">"),
        tiff(VALUES / 65535, photometric="rgb", extrasamples=["unassalpha"]),
    ],
)
def test_sixteen_bits_of_colour_are_rounded_and_kept(content: bytes) -> None:
    assert rgba_pixels(opened(content), name="x")[0].tolist() == ROUNDED
    values = open_values(content, name="x", formats=FORMATS)
    assert values is not None
    assert values.tolist() == VALUES.tolist()
    floats = colour_floats(opened(content), values)
    assert floats.dtype == np.float32
    assert np.abs(floats * 65535 - VALUES[..., :3]).max() < 0.01


def test_grey_and_opaque_pictures() -> None:
    for content in (png(VALUES[..., :3]), tiff(VALUES[..., :3], photometric="rgb")):
        assert colour_pixels(opened(content))[0].tolist() == [pixel[:3] for pixel in ROUNDED]
        assert opacity(opened(content)).tolist() == [[255, 255]]
    grey = VALUES[..., [2, 3]]
    assert rgba_pixels(opened(png(grey)), name="x")[0].tolist() == [[1, 1, 1, 255], [255, 255, 255, 156]]
    assert colour_pixels(opened(png(grey[..., :1])))[0].tolist() == [[1, 1, 1], [255, 255, 255]]
    inverted = tiff(65535 - grey[..., 0], photometric="miniswhite")
    assert colour_pixels(opened(inverted))[0].tolist() == [[1, 1, 1], [255, 255, 255]]


def test_premultiplied_tiffs_become_straight() -> None:
    premultiplied = np.array([[[10000, 20000, 30000, 30000], [0, 0, 0, 0]]], np.uint16)
    content = tiff(premultiplied, photometric="rgb", extrasamples=["assocalpha"])
    values = open_values(content, name="x", formats=FORMATS)
    assert values is not None
    assert values[0].tolist() == [[21845, 43690, 65535, 30000], [0, 0, 0, 0]]  # a third, two thirds, all of 65535


def test_what_is_not_deep_is_left_to_pillow() -> None:
    for form in ("PNG", "TIFF", "JPEG"):
        stream = io.BytesIO()
        Image.new("RGB", (4, 4), (1, 2, 3)).save(stream, form)
        assert open_values(stream.getvalue(), name="x", formats=FORMATS) is None


@pytest.mark.parametrize(
    "values",
    [
        TRIMAP / 255,
        (TRIMAP / 255).astype(np.float16),
        TRIMAP.astype(np.float32),
        (TRIMAP // 127).astype(np.float32),
        (TRIMAP * 257.0).astype(np.float32),
        TRIMAP.astype(np.int32),
        (TRIMAP // 127).astype(np.int16),
        TRIMAP.astype(np.uint32) * 257,
        TRIMAP.astype(np.uint32) * 16843009,
    ],
)
def test_maps_of_other_numbers_than_eight_or_sixteen_bits(values: np.ndarray) -> None:
    found = map_pixels(opened(tiff(values)), name="t.tif")
    assert np.abs(found.astype(int) - TRIMAP).max() == 0


def test_maps_in_colour_files_of_sixteen_bits() -> None:
    for scale in (1, 257):  # eight bits in sixteen, and all sixteen
        content = png(np.dstack([TRIMAP.astype(np.uint16) * scale] * 3))
        assert map_pixels(opened(content), name="t.png").tolist() == TRIMAP.tolist()


def test_profile_and_orientation_of_deep_files_count() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    assert opened(png(VALUES, turned)).size == (1, 2)
    content = tiff(VALUES[..., :3], photometric="rgb", extratags=[(274, "H", 1, 6, True)])
    assert opened(content).size == (1, 2)
    content = tiff(VALUES[..., :3], photometric="rgb", iccprofile=b"a profile")
    assert opened(content).info["icc_profile"] == b"a profile"
    content = png(VALUES, chunk(b"iCCP", b"name\0\0" + zlib.compress(b"a profile")))
    assert opened(content).info["icc_profile"] == b"a profile"


def test_numbers_that_are_no_levels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for values, said in (
        (np.array([[0.0, 1.5]]), "has numbers from 0 to 1.5: expected 0 to 1"),
        (np.array([[np.nan, 1.0]]), "has numbers from nan to nan"),
        (np.array([[-3, 4]], np.int16), "has numbers from -3 to 4"),
    ):
        with pytest.raises(InputError, match=f"x {said}"):
            opened(tiff(values))
    for content in (png(VALUES)[:60], tiff(VALUES, photometric="rgb")[:100], b"II*\0junk"):
        with pytest.raises(InputError, match="x cannot be decoded"):
            opened(content)
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1)
    for content in (png(VALUES), tiff(VALUES, photometric="rgb", extrasamples=["unassalpha"])):
        with pytest.raises(TooBigError):
            opened(content)


def test_an_animation_of_sixteen_bits_is_refused_beyond_its_first_frame() -> None:
    assert np.array(opened(png(VALUES))).tolist() == [ROUNDED]
    with pytest.raises(InputError, match="x cannot be decoded: only the first frame of an animated PNG of 16 bits"):
        open_picture(png(VALUES), name="x", formats=FORMATS, frame=1)


def test_sixteen_bits_of_a_wide_gamut_stay_finer_than_eight() -> None:
    ramp = np.arange(30000, 30257, dtype=np.uint16)  # one level of eight bits
    values = np.stack([ramp, ramp, ramp], axis=-1)[None]
    picture, deep = open_with_values(
        tiff(values, photometric="rgb", iccprofile=display_p3()), name="x", formats=FORMATS
    )
    found = colour_floats(picture, deep)
    assert np.abs(found - values / 65535).max() < 1e-3  # greys are the same in P3
    assert (np.diff(found[0, :, 0]) > 0).all()
    red = np.array([[[210 * 257, 40 * 257, 49 * 257]]], np.uint16)
    picture, deep = open_with_values(tiff(red, photometric="rgb", iccprofile=display_p3()), name="x", formats=FORMATS)
    assert np.abs(colour_floats(picture, deep) * 255 - colour_pixels(picture)).max() <= 1
