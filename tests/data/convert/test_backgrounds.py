import io
from pathlib import Path

import numpy as np
from PIL import Image

from drip_lightning.data.convert.backgrounds import Backgrounds
from drip_lightning.data.convert.conversion import convert
from drip_lightning.data.convert.report import ConversionReport
from tests.data.convert.folders import RGBA, members, pixels, save

NOISE = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)


def prepare(source: Path, out: Path) -> tuple[dict[str, bytes], ConversionReport]:
    done = convert(Backgrounds(sources=(source,)), out, workers=1)
    return {name: content for name, content in members(out).items() if name.endswith(".jpg")}, done.report


def test_jpegs_stay_as_they_are_and_others_become_jpegs(tmp_path: Path) -> None:
    source = tmp_path / "s"
    plain = save(source / "plain.jpg", NOISE, quality=40)
    grey = save(source / "deep" / "grey.JPEG", NOISE[..., 0].copy())
    smooth = np.full((20, 24, 3), (10, 200, 90), np.uint8)
    save(source / "smooth.png", smooth)
    found, report = prepare(source, tmp_path / "out")
    assert list(found) == ["deep-grey.jpg", "plain.jpg", "smooth.jpg"]
    assert found["plain.jpg"] == plain.read_bytes()
    assert found["deep-grey.jpg"] == grey.read_bytes()
    assert np.abs(pixels(found["smooth.jpg"]).astype(int) - smooth).max() <= 2
    assert report.refused == []


def test_turned_and_cmyk_jpegs_are_made_plain(tmp_path: Path) -> None:
    source = tmp_path / "s"
    exif = Image.Exif()
    exif[0x0112] = 8
    save(source / "turned.jpg", np.full((20, 24, 3), 50, np.uint8), exif=exif)
    (source / "ink.jpg").write_bytes(_cmyk((255, 0, 0, 0)))  # cyan alone
    found, _ = prepare(source, tmp_path / "out")
    turned = Image.open(io.BytesIO(found["turned.jpg"]))
    assert (turned.size, turned.getexif().get(0x0112, 1)) == ((20, 24), 1)
    assert np.abs(pixels(found["ink.jpg"]).astype(int) - (0, 255, 255)).max() <= 3


def _cmyk(ink: tuple[int, int, int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("CMYK", (24, 20), ink).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def test_transparent_pictures_are_no_backgrounds(tmp_path: Path) -> None:
    source = tmp_path / "s"
    save(source / "cutout.png", RGBA)
    save(source / "whole.png", np.dstack([NOISE, np.full((20, 24), 255, np.uint8)]))
    found, report = prepare(source, tmp_path / "out")
    assert list(found) == ["whole.jpg"]
    assert [finding.what for finding in report.refused] == ["transparent"]


def test_the_same_picture_in_two_formats_is_a_duplicate(tmp_path: Path) -> None:
    source = tmp_path / "s"
    save(source / "a.png", NOISE)
    save(source / "b.bmp", NOISE)
    found, report = prepare(source, tmp_path / "out")
    assert list(found) == ["a.jpg"]
    assert report.refused[0].detail == f"the same picture as {source}/a.png"


def test_frames_and_pages_that_are_left_out_are_told_of(tmp_path: Path) -> None:
    source, more = tmp_path / "s", [Image.fromarray(255 - NOISE)]
    for name, options in (("a.gif", {}), ("b.webp", {"lossless": True}), ("c.tif", {}), ("d.png", {})):
        save(source / name, np.roll(NOISE, ord(name[0]), axis=1), save_all=True, append_images=more, **options)
    save(source / "one.tif", NOISE)
    torn = save(source / "torn.gif", NOISE[::-1].copy(), save_all=True, append_images=more)
    torn.write_bytes(torn.read_bytes()[:-200])
    found, report = prepare(source, tmp_path / "out")
    assert len(found) == 6
    assert {finding.what for finding in report.warned} == {"several frames or pages, of which the first is taken"}
    assert [Path(finding.file).name for finding in report.warned] == ["a.gif", "b.webp", "c.tif", "d.png", "torn.gif"]
    assert np.abs(pixels(found["b.jpg"]).astype(int) - np.roll(NOISE, ord("b"), axis=1)).mean() < 5
