import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from drip_lightning.data.convert.backgrounds import Backgrounds
from drip_lightning.data.pictures import open_picture
from drip_lightning.data.pixels import colour_pixels, rgba_pixels

P3_PRIMARIES = {  # adapted to D50, as in Apple's "Display P3"
    b"rXYZ": (0.51512, 0.24120, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.15710, 0.06657, 0.78407),
}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def fixed(value: float) -> bytes:
    """The ICC's s15Fixed16Number."""
    return struct.pack(">i", round(value * 65536))


WHITE = fixed(0.9642) + fixed(1) + fixed(0.8249)
SRGB_CURVE = b"para\0\0\0\0\0\3\0\0" + b"".join(map(fixed, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)))
GAMMA_2_2 = b"curv\0\0\0\0\0\0\0\1" + struct.pack(">H", round(2.2 * 256))


def profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 2.4."""
    tags = {b"wtpt": b"XYZ \0\0\0\0" + WHITE, **tags}
    table, content = struct.pack(">I", len(tags)), b""
    for name, tag in tags.items():
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(content), len(tag))
        content += tag + b"\0" * (-len(tag) % 4)
    size = 128 + len(table) + len(content)
    head = struct.pack(">I4xI4s4s4s12x4s", size, 0x02400000, kind, space, connection, b"acsp").ljust(68, b"\0")
    return (head + WHITE).ljust(128, b"\0") + table + content


def display_p3(curve: bytes = SRGB_CURVE) -> bytes:
    """P3's primaries, and sRGB's curve unless another is given."""
    tags = {name: b"XYZ \0\0\0\0" + b"".join(map(fixed, xyz)) for name, xyz in P3_PRIMARIES.items()}
    return profile(b"mntr", b"RGB ", b"XYZ ", {**tags, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve})


def cmyk() -> bytes:
    """Paper is L* = 100, full cyan a grey of L* = 50, all other ink black."""
    nodes = []
    for node in range(16):  # cyan varies slowest
        cyan, others = node >> 3, node & 7
        nodes += [0 if others else (128 if cyan else 255), 128, 128]
    ramp = bytes(range(256))
    identity = b"".join(map(fixed, (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + ramp * 4 + bytes(nodes) + ramp * 3
    return profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def first_pixel(content: bytes, formats: tuple[str, ...] = ("PNG", "JPEG", "WEBP", "TIFF")) -> list[int]:
    return colour_pixels(open_picture(content, name="x", formats=formats))[0, 0].tolist()


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_a_colour_profile_is_converted_to_srgb(form: str) -> None:
    picture = Image.new("RGB", (8, 8), (210, 40, 49))
    assert first_pixel(saved(picture, form, icc_profile=display_p3(GAMMA_2_2))) == [231, 0, 33]
    linear = np.array([0.6445, 0.0212, 0.0307]) @ [
        [1.2249, -0.0421, -0.0196],
        [-0.2249, 1.0421, -0.0786],
        [0, 0, 1.0979],
    ]
    red, _, blue = np.round((1.055 * linear.clip(0.0031308) ** (1 / 2.4) - 0.055) * 255).astype(int).tolist()
    assert first_pixel(saved(picture, form, icc_profile=display_p3())) == [red, 0, blue]
    transparent = picture.copy()
    transparent.putalpha(77)
    opened = open_picture(saved(transparent, "PNG", icc_profile=display_p3(GAMMA_2_2)), name="x")
    assert rgba_pixels(opened, name="x")[0, 0].tolist() == [231, 0, 33, 77]
    grey = Image.new("L", (8, 8), 90)  # neutral in both
    assert first_pixel(saved(grey, form, icc_profile=display_p3())) == [90, 90, 90]


def test_a_cmyk_profile_is_converted_to_srgb() -> None:
    inks = {(0, 0, 0, 0): 255, (255, 0, 0, 0): 119, (0, 255, 0, 0): 0}  # L* = 50 is 119 in sRGB
    for ink, expected in inks.items():
        found = first_pixel(saved(Image.new("CMYK", (8, 8), ink), "TIFF", icc_profile=cmyk()))
        assert np.abs(np.array(found) - expected).max() <= 1


@pytest.mark.parametrize("profile", [SRGB, b"", b"no profile", display_p3()[:200], cmyk()])
def test_srgb_and_unusable_profiles_change_nothing(profile: bytes) -> None:
    picture = Image.new("RGB", (8, 8), (210, 40, 49))
    assert first_pixel(saved(picture, "PNG", icc_profile=profile)) == [210, 40, 49]


def test_a_background_with_a_profile_is_stored_in_srgb(tmp_path: Path) -> None:
    source = tmp_path / "pictures"
    source.mkdir()
    picture = Image.new("RGB", (16, 16), (210, 40, 49))
    picture.save(source / "plain.jpg", quality=100)
    picture.save(source / "wide.jpg", quality=100, icc_profile=display_p3(GAMMA_2_2))
    kind = Backgrounds(sources=(source,))
    plain, wide = (kind.convert(job).members["jpg"] for job in kind.find().jobs)
    assert plain == (source / "plain.jpg").read_bytes()
    with Image.open(io.BytesIO(wide)) as stored:
        assert "icc_profile" not in stored.info
    assert np.abs(np.array(first_pixel(wide)) - (231, 0, 33)).max() <= 3


@pytest.mark.filterwarnings("error")
def test_a_palette_with_partial_transparency_is_read_without_a_word() -> None:
    pixels = np.array([[[210, 40, 49, 255], [0, 0, 0, 0], [10, 200, 30, 100]]], np.uint8)
    picture = open_picture(saved(Image.fromarray(pixels).quantize(), "PNG"), name="x")
    assert isinstance(picture.info["transparency"], bytes)  # of which Pillow warns
    assert rgba_pixels(picture, name="x").tolist() == pixels.tolist()
