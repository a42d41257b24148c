"""What the page does, without the page: its cut-outs are `drip matte`'s."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import drip_lightning.cli.main as command
from drip_lightning.cli.demo.cut import SHOWN, CutOut, Views, Wish, colour_of, cut_out, shown_picture
from drip_lightning.cli.demo.strokes import COLOURS
from drip_lightning.cli.matte_model import MatteModel
from drip_lightning.cli.matte_options import build_parser
from drip_lightning.data.exr import read_exr
from drip_lightning.errors import InputError
from drip_lightning.ops.srgb import srgb_to_linear
from tests.shards import disc_rgba, png_of_200_megapixels

WIDTH, HEIGHT = 45, 37


@pytest.fixture(scope="module")
def model(runs: Path) -> MatteModel:
    options = build_parser().parse_args(["picture.png", "--out=out", f"--checkpoint={runs / 'transparency'}"])
    return MatteModel.of(options, prog="drip demo")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A photograph that its EXIF turns by a quarter: upright it is `WIDTH` by `HEIGHT`."""
    upright = Image.fromarray(disc_rgba(0, HEIGHT, WIDTH)[..., :3])
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "uploads" / "cat.png"
    path.parent.mkdir()
    upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    return path


def _guide(tmp_path: Path, *values: int) -> Path:
    stripes = np.repeat(np.array(values, np.uint8), -(-WIDTH // len(values)))[:WIDTH]
    Image.fromarray(np.tile(stripes, (HEIGHT, 1))).save(tmp_path / "guide.png")
    return tmp_path / "guide.png"


def _painted(**places: tuple[slice, slice]) -> np.ndarray:
    """A layer of twice the picture's size, as where a small picture is shown large."""
    layer = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    for name, place in places.items():
        layer[place] = [*bytes.fromhex(COLOURS[name][1:]), 153]
    return layer.repeat(2, axis=0).repeat(2, axis=1)


def _cut(wish: Wish, model: MatteModel, tmp_path: Path) -> CutOut:
    folder = tmp_path / "results"
    folder.mkdir(exist_ok=True)
    return cut_out(wish, model, folder, progress=lambda done, total: None)


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def _matte(model: MatteModel, picture: Path, tmp_path: Path, *more: object) -> bytes:
    """What `drip matte` writes."""
    out = tmp_path / "matte.png"
    given = ["matte", picture, f"--checkpoint={model.options.checkpoint}", f"--out={out}", "--overwrite", *more]
    assert command.run([*map(str, given), "--steps=2"]) == 0
    return out.read_bytes()


@pytest.mark.parametrize("is_mask", [True, False])
def test_a_cut_out_of_an_uploaded_mask_or_trimap_is_that_of_drip_matte(
    is_mask: bool, model: MatteModel, picture: Path, tmp_path: Path
) -> None:
    guide = _guide(tmp_path, 0, 255) if is_mask else _guide(tmp_path, 0, 128, 255)
    found = _cut(Wish(picture, guide, is_mask, band=5, steps=2, seed=3), model, tmp_path)
    given = ["--mask", guide, "--band=5"] if is_mask else ["--trimap", guide]
    assert found.cut_out.read_bytes() == _matte(model, picture, tmp_path, *given, "--seed=3")
    assert found.cut_out.read_bytes() == _matte(model, picture, tmp_path, "--trimap", found.trimap, "--seed=3")
    assert found.alpha.read_bytes() == _matte(model, picture, tmp_path, *given, "--seed=3", "--only-alpha")
    assert (found.cut_out.name, found.alpha.name, found.trimap.name) == ("cat.png", "cat_alpha.png", "cat_trimap.png")
    assert (found.size, found.seconds > 0, found.peak_bytes > 1e8) == ((WIDTH, HEIGHT), True, True)


def test_what_is_painted_is_a_mask_with_a_band_and_other_strokes_correct_it(
    model: MatteModel, picture: Path, tmp_path: Path
) -> None:
    layer = _painted(foreground=np.s_[8:30, 10:30], unknown=np.s_[14:20, 16:22], background=np.s_[0:12, 0:14])
    found = _cut(Wish(picture, layer=layer, band=3, steps=2), model, tmp_path)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[8:30, 10:30] = True
    mask[0:12, 0:14] = mask[14:20, 16:22] = False  # painted over
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    for row, column in np.ndindex(HEIGHT, WIDTH):
        around = mask[max(0, row - 3) : row + 4, max(0, column - 3) : column + 4]
        expected[row, column] = 255 if around.all() else 128 if around.any() else 0
    expected[14:20, 16:22], expected[0:12, 0:14] = 128, 0
    assert np.array_equal(_pixels(found.trimap), expected)
    assert found.cut_out.read_bytes() == _matte(model, picture, tmp_path, "--trimap", found.trimap)


def test_strokes_correct_a_trimap_even_one_that_knows_everything(
    model: MatteModel, picture: Path, tmp_path: Path
) -> None:
    layer = _painted(unknown=np.s_[:, 20:26], foreground=np.s_[:, :2])
    found = _cut(Wish(picture, _guide(tmp_path, 0, 255), False, layer, steps=2), model, tmp_path)
    assert _pixels(found.trimap)[5].tolist() == [255] * 2 + [0] * 18 + [128] * 6 + [255] * 19


def test_openexr_is_the_cut_out_in_linear_light(model: MatteModel, picture: Path, tmp_path: Path) -> None:
    pytest.importorskip("OpenEXR")
    found = _cut(Wish(picture, _guide(tmp_path, 0, 128, 255), False, steps=2), model, tmp_path)
    assert found.exr is not None
    exr, rgba = read_exr(found.exr.read_bytes(), name="exr"), _pixels(found.cut_out) / 255
    assert exr.alpha is not None
    assert exr.colour is not None
    assert np.abs(exr.alpha - rgba[..., 3]).max() < 0.003
    opaque = rgba[..., 3] == 1
    assert opaque.any()
    assert np.abs(exr.colour - srgb_to_linear(rgba[..., :3]))[opaque].max() < 0.003


@pytest.mark.slow
def test_the_denoisers_size_can_be_chosen(model: MatteModel, picture: Path, tmp_path: Path) -> None:
    guide = _guide(tmp_path, 0, 128, 128, 128, 255)
    native, small = (
        _cut(Wish(picture, guide, False, steps=2, processing_size=size), model, tmp_path).cut_out.read_bytes()
        for size in (0, 16)
    )
    assert small == _matte(model, picture, tmp_path, "--trimap", guide, "--processing-size=16")
    assert native == _matte(model, picture, tmp_path, "--trimap", guide, "--processing-size=native")
    assert native != small


def test_each_refusal_is_a_line_that_names_the_file_alone_and_leaves_nothing(
    model: MatteModel, picture: Path, tmp_path: Path
) -> None:
    text, huge, frames, other = (picture.with_name(f"{name}.png") for name in ("notes", "huge", "moving", "other"))
    text.write_text("no picture")
    huge.write_bytes(png_of_200_megapixels())
    stills = [Image.new("L", (4, 4), value) for value in (0, 255)]
    stills[0].save(frames, save_all=True, append_images=stills[1:])
    Image.new("L", (9, 9), 128).save(other)
    guide, sure = _guide(tmp_path, 0, 128, 255), picture.with_name("sure.png")
    Image.new("L", (WIDTH, HEIGHT), 255).save(sure)
    dark = _painted(background=np.s_[:9, :9])
    cases = [
        (Wish(text, guide), r"^notes.png cannot be decoded: it is none of PNG, JPEG"),
        (Wish(huge, guide), r"^huge.png has .* pixels.*not decoded: make it smaller$"),
        (Wish(frames, guide), r"^moving.png has 2 frames or pages: this page takes one, drip matte takes all$"),
        (Wish(picture, text), r"^notes.png cannot be decoded"),
        (Wish(picture, other), r"^(cat|other).png is \d+.\d+"),
        (Wish(picture), r"^nothing is painted as foreground: paint the object, or give a mask or trimap$"),
        (Wish(picture, layer=dark), r"^nothing is painted as foreground"),
        (Wish(picture, sure, False), r"^sure.png leaves no pixel unknown"),
    ]
    for wish, line in cases:
        with pytest.raises(InputError, match=line) as error:
            _cut(wish, model, tmp_path)
        assert str(tmp_path) not in str(error.value)
    assert list((tmp_path / "results").iterdir()) == []
    for path in (text, huge, frames):
        with pytest.raises(InputError, match=f"^{path.name} "):
            shown_picture(path)


def test_what_is_shown_is_upright_and_small(tmp_path: Path, picture: Path) -> None:
    assert np.array_equal(np.array(shown_picture(picture)), disc_rgba(0, HEIGHT, WIDTH)[..., :3])
    large = tmp_path / "large.png"
    Image.new("RGB", (3000, 20), "red").save(large)
    assert shown_picture(large).size == (SHOWN, 9)


def test_a_backdrop_is_seen_through_what_is_transparent(tmp_path: Path, picture: Path) -> None:
    rgba = np.zeros((2, 3, 4), np.uint8)
    rgba[0] = [[200, 100, 50, 255], [200, 100, 50, 51], [0, 0, 0, 0]]
    Image.fromarray(rgba).save(tmp_path / "cut.png")
    Image.fromarray(rgba[..., 3]).save(tmp_path / "trimap.png")
    files = picture, tmp_path / "cut.png", picture, None, tmp_path / "trimap.png"
    found = CutOut(*files, size=(3, 2), seconds=0, peak_bytes=0)
    views = Views.of(found, Image.new("RGB", (1, 1), colour_of("#00b140")))
    over = np.array(views.composite).astype(int)[0]
    assert np.abs(over - [[200, 100, 50], [40, 162, 61], [0, 177, 64]]).max() <= 1
    assert np.array_equal(np.array(views.alpha), rgba[..., 3])
    assert np.array_equal(np.array(views.trimap), rgba[..., 3])
    assert np.array_equal(np.array(views.foreground)[0, 2], [0, 0, 0])
    checker = np.array(Views.of(found, None).composite)[1]
    assert (checker == checker[0, 0]).all()
    assert 140 < checker[0, 0] < 220


def test_a_colour_is_read_as_pickers_write_it() -> None:
    assert colour_of("rgba(0, 176.6, 64.2, 1)") == colour_of("#00b140") == (0, 177, 64)
    with pytest.raises(InputError, match=r"^greenish is no colour: choose one$"):
        colour_of("greenish")
