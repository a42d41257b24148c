import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drip_lightning.data import pictures as reading
from drip_lightning.data.convert.conversion import convert
from drip_lightning.data.convert.foregrounds import (
    Composition1kForegrounds,
    Distinctions646Foregrounds,
    Foregrounds,
)
from drip_lightning.data.convert.mattes import is_binary
from drip_lightning.data.convert.report import ConversionReport
from drip_lightning.data.decode import decode_foreground
from drip_lightning.data.shards.index import read_index
from drip_lightning.errors import InputError
from tests.data.convert.folders import ALPHA, COLOUR, RGBA, members, pictures, save
from tests.shards import disc_rgba

SHOWN = RGBA * (RGBA[..., 3:] > 0)
"""What is kept: colour that nobody sees is dropped."""


def prepare(source: Path, out: Path, **options: Any) -> tuple[dict[str, np.ndarray], ConversionReport]:
    done = convert(Foregrounds(sources=(source,), **{"codec": "png", **options}), out, workers=1)
    return pictures(out), done.report


def test_nothing_that_is_seen_is_lost(tmp_path: Path) -> None:
    source = tmp_path / "source"
    save(source / "a.png", RGBA)
    other = disc_rgba(1, 20, 24)
    save(source / "b.webp", other, lossless=True, exact=True)
    for codec in ("png", "webp"):
        found, report = prepare(source, tmp_path / codec, codec=codec)
        assert list(found) == [f"a.rgba.{codec}", f"b.rgba.{codec}"]
        assert (found[f"a.rgba.{codec}"] == SHOWN).all()
        assert (found[f"b.rgba.{codec}"] == other * (other[..., 3:] > 0)).all()
        assert report.refused == report.warned == []
        sample = {
            name.split(".", 1)[1]: content for name, content in members(tmp_path / codec).items() if name[0] == "a"
        }
        picture = decode_foreground({"__key__": "a", **sample})
        assert (picture[..., 3] == ALPHA).all()


def test_what_is_hidden_is_kept_where_told(tmp_path: Path) -> None:
    assert (RGBA != SHOWN).any()
    save(tmp_path / "source" / "a.png", RGBA)
    for codec in ("png", "webp"):
        found, _ = prepare(tmp_path / "source", tmp_path / codec, codec=codec, hidden_colours=True)
        assert (found[f"a.rgba.{codec}"] == RGBA).all()
        assert read_index(tmp_path / codec).arguments["hidden_colours"] is True


@pytest.mark.parametrize("folder", ["fg", "FG", "foreground"])
def test_pairs_become_one_picture(tmp_path: Path, folder: str) -> None:
    save(tmp_path / "s" / folder / "x.JPG", COLOUR, quality=100, subsampling=0)
    save(tmp_path / "s" / "Alpha" / "x.PNG", ALPHA)
    save(tmp_path / "s" / folder / "deep" / "y.png", disc_rgba(1, 20, 24)[..., :3].copy())
    save(tmp_path / "s" / "Alpha" / "deep" / "y.png", np.dstack([ALPHA] * 3))
    found, report = prepare(tmp_path / "s", tmp_path / "out")
    assert list(found) == ["deep-y.rgba.png", "x.rgba.png"]
    assert (found["x.rgba.png"][..., 3] == ALPHA).all()
    inside = ALPHA == 255
    assert np.abs(found["x.rgba.png"][inside][:, :3].astype(int) - COLOUR[inside]).mean() < 3
    assert report.refused == []


def test_sixteen_bits_are_scaled_not_cut(tmp_path: Path) -> None:
    """0x80FF is 33023 / 65535 = 128.5 of 255; its low byte would be opaque."""
    pixels = np.zeros((20, 24), np.uint16)
    pixels[:, 8:] = 0x80FF
    pixels[:, 16:] = 0xFFFF
    save(tmp_path / "s" / "fg" / "x.png", COLOUR)
    save(tmp_path / "s" / "alpha" / "x.png", pixels)
    found, _ = prepare(tmp_path / "s", tmp_path / "out")
    assert found["x.rgba.png"][0, ::8, 3].tolist() == [0, 128, 255]


def _sixteen_bit_rgba_png(rgba: np.ndarray) -> bytes:
    """Pillow writes no such file, so this does, by the book: big-endian samples, filter 0."""
    import struct
    import zlib

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = rgba.shape[:2]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rgba)
    header = struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_sixteen_bit_rgba(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "x.png").write_bytes(_sixteen_bit_rgba_png(RGBA.astype(np.uint16) * 257))
    found, report = prepare(tmp_path / "s", tmp_path / "out")
    assert report.refused == []
    assert (found["x.rgba.png"] == SHOWN).all()


def test_palette_grey_and_turned_pictures_are_read_rightly(tmp_path: Path) -> None:
    source = tmp_path / "s"
    palette = Image.fromarray(np.repeat(np.arange(3, dtype=np.uint8), 8)[None].repeat(4, 0), "P")
    palette.putpalette([9, 9, 9, 200, 0, 0, 0, 0, 200])
    source.mkdir()
    palette.save(source / "palette.png", transparency=bytes([0, 128, 255]))
    Image.merge("LA", (Image.fromarray(COLOUR[..., 0].copy()), Image.fromarray(ALPHA))).save(source / "grey.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its left side
    save(source / "turned.png", np.rot90(RGBA).copy(), exif=exif)
    found, _ = prepare(source, tmp_path / "out")
    assert found["palette.rgba.png"][0, ::8].tolist() == [[0, 0, 0, 0], [200, 0, 0, 128], [0, 0, 200, 255]]
    assert (found["grey.rgba.png"] == np.dstack([COLOUR[..., [0]] * (ALPHA[..., None] > 0)] * 3 + [ALPHA])).all()
    assert found["turned.rgba.png"].shape == RGBA.shape
    assert (found["turned.rgba.png"] == SHOWN).all()


def test_tiffs_of_sixteen_bits_and_of_floating_point_numbers_say_the_same(tmp_path: Path) -> None:
    pixels = ALPHA.astype(np.uint16) * 257
    for name, alpha in (("whole", pixels), ("floating", pixels.astype(np.float32) / 65535)):
        save(tmp_path / "s" / "fg" / f"{name}.tif", COLOUR)
        save(tmp_path / "s" / "alpha" / f"{name}.TIFF", alpha)
    save(tmp_path / "s" / "fg" / "wild.tif", COLOUR)
    save(tmp_path / "s" / "alpha" / "wild.tif", pixels.astype(np.float32) / 32768 - 0.5)
    found, report = prepare(tmp_path / "s", tmp_path / "out")
    assert (found["floating.rgba.png"] == SHOWN).all()
    assert [(finding.what, finding.detail) for finding in report.refused] == [
        ("duplicate", f"the same picture as {tmp_path}/s/fg/floating.tif"),
        ("unreadable", "has numbers from -0.5 to 1.49997: expected 0 to 1, or 8 or 16 bits"),
    ]


def test_cmyk_colour_is_converted(tmp_path: Path) -> None:
    flat = np.zeros((20, 24, 4), np.uint8)
    flat[..., 1] = 255  # magenta ink alone
    stream = io.BytesIO()
    Image.fromarray(flat, "CMYK").save(stream, "JPEG", quality=100)
    (tmp_path / "s" / "fg").mkdir(parents=True)
    (tmp_path / "s" / "fg" / "x.jpg").write_bytes(stream.getvalue())
    save(tmp_path / "s" / "alpha" / "x.png", ALPHA)
    found, _ = prepare(tmp_path / "s", tmp_path / "out")
    assert np.abs(found["x.rgba.png"][ALPHA == 255][:, :3].astype(int) - (255, 0, 255)).max() <= 2


def test_each_bad_file_is_refused_by_name_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "s"
    monkeypatch.setattr(reading, "MAX_PIXELS", 1000)
    save(source / "good.png", RGBA)
    save(source / "twin.webp", RGBA, lossless=True, exact=True)
    save(source / "huge.png", disc_rgba(1, 40, 40))
    save(source / "opaque.png", np.dstack([COLOUR, np.full_like(ALPHA, 255)]))
    save(source / "empty.png", np.dstack([COLOUR, ALPHA * 0]))
    save(source / "solid.png", COLOUR)
    content = (source / "good.png").read_bytes()
    (source / "torn.png").write_bytes(content[: len(content) // 2])
    (source / "page.png").write_text("<html>404</html>")
    _, report = prepare(source, tmp_path / "out")
    assert {finding.file.rsplit("/")[-1]: finding.what for finding in report.refused} == {
        "twin.webp": "duplicate",
        "huge.png": "too many pixels",
        "opaque.png": "opaque everywhere",
        "empty.png": "transparent everywhere",
        "solid.png": "no alpha channel",
        "torn.png": "unreadable",
        "page.png": "unreadable",
    }
    assert (report.listed, report.written) == (8, 1)
    huge = next(finding for finding in report.refused if finding.what == "too many pixels")
    assert huge.detail == "has 40x40 pixels, more than 1000 are not decoded: make it smaller"


def test_bombs_are_not_decoded(tmp_path: Path) -> None:
    """A PNG of a few bytes that says it has 10 gigapixels; Pillow's own limit comes first."""
    bomb = bytearray(_sixteen_bit_rgba_png(np.zeros((1, 1, 4), np.uint16)))
    import struct
    import zlib

    bomb[16:24] = struct.pack(">II", 100_000, 100_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bytes(bomb[12:29])))
    save(tmp_path / "s" / "good.png", RGBA)
    (tmp_path / "s" / "bomb.png").write_bytes(bytes(bomb))
    _, report = prepare(tmp_path / "s", tmp_path / "out")
    assert [finding.what for finding in report.refused] == ["too many pixels"]


def test_pairs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "s"
    for name in ("good", "small", "lonely", "twice"):
        save(source / "fg" / f"{name}.png", disc_rgba(len(name), 20, 24)[..., :3].copy())
    save(source / "fg" / "twice.jpg", COLOUR)
    for name in ("good", "twice", "widow"):
        save(source / "alpha" / f"{name}.png", ALPHA)
    save(source / "alpha" / "small.png", ALPHA[:10])
    _, report = prepare(source, tmp_path / "out")
    found = {finding.file.rsplit("/")[-1]: (finding.what, finding.detail) for finding in report.refused}
    assert found == {
        "lonely.png": ("partner missing", f"no lonely in {source}/alpha"),
        "widow.png": ("partner missing", f"no widow in {source}/fg"),
        "twice.jpg": ("several files of one name", "twice.jpg, twice.png"),
        "small.png": ("sizes differ", "fg 24x20, alpha 24x10"),
    }


def test_binary_mattes_are_warned_of(tmp_path: Path) -> None:
    save(tmp_path / "s" / "soft.png", RGBA)
    save(tmp_path / "s" / "hard.png", np.dstack([COLOUR, (ALPHA > 127).astype(np.uint8) * 255]))
    _, report = prepare(tmp_path / "s", tmp_path / "out")
    assert [(finding.file.rsplit("/")[-1], finding.what) for finding in report.warned] == [("hard.png", "binary matte")]
    assert any("destroys soft edges" in line for line in report.lines())
    assert report.written == 2


def test_what_binary_means() -> None:
    square = np.zeros((12, 12), np.uint8)
    square[3:9, 3:9] = 255  # 24 crossings between neighbours
    assert is_binary(square)
    square[3, 3:8] = 128  # 5 partial pixels: still less than a quarter of 24
    assert is_binary(square)
    square[3, 8] = 128
    assert not is_binary(square)
    noisy = np.where(square == 128, 255, square)
    noisy[noisy == 0] = 4  # a lossy file's noise
    assert is_binary(noisy)


def test_strange_names_make_sound_keys(tmp_path: Path) -> None:
    source = tmp_path / "s"
    names = [
        "été 1.png",
        "e\u0301te\u0301 1.webp",
        "a.b.png",
        "a_b.PNG",
        "deep/a.b.png",
        "__x.png",
        "猫.png",
        ".hid.png",
    ]
    for i, name in enumerate(names):
        save(source / name, disc_rgba(i, 20, 24), **({"lossless": True} if name.endswith("webp") else {}))
    save(source / "__MACOSX" / "a.png", RGBA)
    found, report = prepare(source, tmp_path / "out")
    assert sorted(name.removesuffix(".rgba.png") for name in found) == sorted(
        ["été_1", "été_1-2", "a_b", "a_b-2", "deep-a_b", "x", "猫"]
    )
    assert report.refused == []


def test_links_in_circles_end(tmp_path: Path) -> None:
    save(tmp_path / "s" / "a.png", RGBA)
    (tmp_path / "s" / "again").symlink_to(tmp_path / "s")
    found, _ = prepare(tmp_path / "s", tmp_path / "out")
    assert list(found) == ["a.rgba.png"]


def test_photographs_need_their_foreground_estimated(tmp_path: Path) -> None:
    save(tmp_path / "s" / "image" / "x.png", COLOUR)
    save(tmp_path / "s" / "alpha" / "x.png", ALPHA)
    with pytest.raises(InputError, match="holds composites, not foregrounds: give --estimate-foreground"):
        prepare(tmp_path / "s", tmp_path / "out")


def test_estimated_foreground_is_nearer_to_the_truth_than_the_picture(tmp_path: Path) -> None:
    """A red disc on green: the colour of its soft edge is red again."""
    pytest.importorskip("pymatting")
    red, green = (np.broadcast_to(np.array(colour, np.uint8), (20, 24, 3)) for colour in ((200, 30, 30), (20, 220, 20)))
    weight = ALPHA[..., None] / 255
    image = (weight * red + (1 - weight) * green).round().astype(np.uint8)
    save(tmp_path / "s" / "image" / "x.png", image)
    save(tmp_path / "s" / "alpha" / "x.png", ALPHA)
    found, _ = prepare(tmp_path / "s", tmp_path / "out", estimate_foreground=True)
    soft = (ALPHA > 40) & (ALPHA < 255)
    error = {
        name: np.abs(picture[soft][:, :3].astype(int) - red[soft]).mean()
        for name, picture in (("estimate", found["x.rgba.png"]), ("image", image))
    }
    assert error["estimate"] < 0.25 * error["image"]
    opaque = ALPHA == 255
    assert (found["x.rgba.png"][opaque][:, :3] == image[opaque]).all()


@pytest.mark.parametrize("given", ["", "Combined_Dataset", "Combined_Dataset/Training_set"])
def test_composition1k_training(tmp_path: Path, given: str) -> None:
    training = tmp_path / "Combined_Dataset" / "Training_set"
    for number, (part, suffix) in enumerate((("Adobe-licensed images", "jpg"), ("Other", "png"))):
        save(training / part / "fg" / f"thing{number}.{suffix}", disc_rgba(number, 20, 24)[..., :3].copy())
        save(training / part / "alpha" / f"thing{number}.{suffix}", ALPHA)
    (training / "training_fg_names.txt").write_text("thing0.jpg\r\n")
    kind = Composition1kForegrounds(sources=(tmp_path / given,))
    done = convert(kind, tmp_path.parent / f"{tmp_path.name}-out", workers=1)
    assert list(pictures(Path(done.index.folder))) == ["thing0.rgba.webp", "thing1.rgba.webp"]
    assert "not to be passed on" in str(done.index.licence)


def test_distinctions646_training(tmp_path: Path) -> None:
    save(tmp_path / "s" / "Train" / "FG" / "a.png", COLOUR)
    save(tmp_path / "s" / "Train" / "GT" / "a.png", ALPHA)
    done = convert(Distinctions646Foregrounds(sources=(tmp_path / "s",)), tmp_path / "out", workers=1)
    assert (pictures(tmp_path / "out")["a.rgba.webp"] == SHOWN).all()
    assert done.report.written == 1
    with pytest.raises(InputError, match="has no folder FG/: see `drip prepare --help`"):
        convert(Distinctions646Foregrounds(sources=(tmp_path / "out",)), tmp_path / "other", workers=1)
