"""Other programs' mattes: measured as our own are, and every file that does not fit is named."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from drip_lightning.data.datasets import EvaluationPictures
from drip_lightning.data.exr import write_exr
from drip_lightning.data.shards.reader import ShardFolder
from drip_lightning.errors import InputError
from drip_lightning.evaluation.method import Trimap
from drip_lightning.evaluation.named import methods_of
from drip_lightning.evaluation.predictions import Predictions, read_matte
from drip_lightning.ops.srgb import srgb_to_linear
from tests.data.test_pixels import display_p3
from tests.evaluation.test_run import lines, run
from tests.shards import evaluation_shards


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Three pictures, e000 to e002; the first has no true foreground."""
    return evaluation_shards(tmp_path / "shards")


@pytest.fixture
def folder(data: str, tmp_path: Path) -> Path:
    """What a program wrote that answers with the trimap and the image: RGBA, RGBA as TIFF, and 16-bit grey."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    for number, picture in enumerate(EvaluationPictures(ShardFolder(data))):
        maps = [(picture[name][0] * 255).round().byte().permute(1, 2, 0).numpy() for name in ("image", "trimap")]
        if number < 2:
            Image.fromarray(np.dstack(maps)).save(folder / f"e00{number}.{('png', 'tif')[number]}")
        else:
            Image.fromarray(maps[1][..., 0].astype(np.uint16) * 257).save(folder / "e002.png")
    return folder


def test_files_of_the_trimap_score_as_the_trimap_does(data: str, folder: Path, tmp_path: Path) -> None:
    report = run([Trimap(), *methods_of([f"theirs={folder}"])], tmp_path / "out", data)
    assert not report.excluded
    table = lines(tmp_path / "out")
    trimap, theirs = table[:3], table[3:]
    for one, other in zip(trimap, theirs, strict=True):
        alpha = [name for name in one if name.startswith("alpha_")]
        assert [one[name] for name in alpha] == [other[name] for name in alpha]
    assert float(theirs[1]["foreground_sad_unknown"]) == float(trimap[1]["foreground_sad_unknown"])
    assert theirs[2]["foreground_sad_unknown"] == ""  # a grey file brings no foreground
    assert float(trimap[2]["foreground_sad_unknown"]) > 0
    assert "predicted mattes" in report.table


def test_what_does_not_fit_is_named(
    data: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "e000.png").rename(folder / "e009.png")
    with Image.open(folder / "e002.png") as picture:
        picture.resize((7, 5)).save(folder / "e002.png")
    report = run([Predictions(folder, name="theirs")], tmp_path / "out", data)
    assert report.excluded == {
        0: f"e000: theirs has no file for it: expected {folder}/e000.png",
        2: f"e002: {folder}/e002.png is 7x5, and the picture 24x22",
    }
    assert "theirs: 1 files belong to no picture of the set: e009.png" in capsys.readouterr().err


def test_a_coloured_file_is_no_matte(data: str, folder: Path, tmp_path: Path) -> None:
    size = Image.open(folder / "e001.tif").size
    Image.new("RGB", size, (90, 90, 90)).save(folder / "e001.tif")  # a matte that a program wrote as RGB
    Image.new("RGB", Image.open(folder / "e000.png").size, (200, 90, 90)).save(folder / "e000.png")
    report = run([Predictions(folder, name="theirs")], tmp_path / "out", data)
    assert list(report.excluded) == [0]
    assert "e000.png is a colour picture without alpha" in report.excluded[0]


def test_what_a_grey_file_says_is_what_it_says_to_drip_matte(tmp_path: Path) -> None:
    matte = np.array([[0, 255], [255, 0]], np.uint8)
    opaque = np.dstack([matte] * 3 + [np.full_like(matte, 255)])
    for name, pixels in (("labels.png", matte // 255), ("wide.png", matte.astype(np.uint16)), ("opaque.png", opaque)):
        Image.fromarray(pixels).save(tmp_path / name)
        assert (read_matte(tmp_path / name, image=torch.zeros(1, 3, 2, 2)).alpha[0, 0].numpy() * 255 == matte).all()
    theirs = Predictions(tmp_path, name="theirs")
    assert not theirs.brings_foreground("opaque")
    page = Image.fromarray(matte)
    page.save(tmp_path / "two.tif", save_all=True, append_images=[page])
    with pytest.raises(InputError, match=r"two\.tif has 2 frames or pages: give a file of each"):
        read_matte(tmp_path / "two.tif", image=torch.zeros(1, 3, 2, 2))


def test_openexr_is_linear_and_premultiplied(tmp_path: Path) -> None:
    straight = np.array([[[0, 0.5, 1]], [[0.2, 0.4, 0.6]]], np.float32)  # sRGB levels
    alpha = np.array([[0.5], [1]], np.float32)
    (tmp_path / "rgba.exr").write_bytes(write_exr(colour=srgb_to_linear(straight), alpha=alpha))
    (tmp_path / "alpha.exr").write_bytes(write_exr(colour=None, alpha=alpha))
    (tmp_path / "rgb.exr").write_bytes(write_exr(colour=straight, alpha=None))
    image = torch.full((1, 3, 2, 1), 0.3)
    matte = read_matte(tmp_path / "rgba.exr", image=image)
    assert torch.equal(matte.alpha[0, 0], torch.from_numpy(alpha))
    assert torch.allclose(matte.foreground[0].permute(1, 2, 0), torch.from_numpy(straight), atol=1e-3)
    alone = read_matte(tmp_path / "alpha.exr", image=image)
    assert torch.equal(alone.alpha, matte.alpha)
    assert torch.equal(alone.foreground, image)
    method = Predictions(tmp_path, name="theirs")
    assert [method.brings_foreground(key) for key in ("rgba", "alpha")] == [True, False]
    with pytest.raises(InputError, match=r"rgb\.exr is a colour picture without alpha"):
        read_matte(tmp_path / "rgb.exr", image=image)
    with pytest.raises(InputError, match=r"rgba\.exr is 1x2, and the picture 2x2"):
        read_matte(tmp_path / "rgba.exr", image=torch.zeros(1, 3, 2, 2))


def test_colours_are_read_by_the_file_s_own_profile(tmp_path: Path) -> None:
    """P3's (210, 40, 49) is sRGB's (229, 0, 38); a matte's values are no colours, and stay."""
    pixels = np.array([[[210, 40, 49, 128]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "rgba.png", icc_profile=display_p3())
    Image.fromarray(pixels[..., 3]).save(tmp_path / "grey.png", icc_profile=display_p3())
    matte = read_matte(tmp_path / "rgba.png", image=torch.zeros(1, 3, 1, 1))
    assert (matte.foreground * 255).round().flatten().tolist() == [229, 0, 38]
    grey = read_matte(tmp_path / "grey.png", image=torch.zeros(1, 3, 1, 1))
    assert matte.alpha == grey.alpha == torch.tensor(128 / 255)


def test_two_files_of_one_picture_and_an_empty_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    Image.new("L", (3, 3)).save(folder / "e001.png")
    with pytest.raises(InputError, match=r"e001\.png and e001\.tif are both 'e001'"):
        Predictions(folder, name="theirs")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no predicted mattes"):
        Predictions(tmp_path / "empty", name="theirs")


def test_other_files_of_the_same_names_are_another_protocol(data: str, folder: Path, tmp_path: Path) -> None:
    run([Predictions(folder, name="theirs")], tmp_path / "out", data)
    Image.new("L", Image.open(folder / "e002.png").size).save(folder / "e002.png")
    with pytest.raises(InputError, match="another protocol"):
        run([Predictions(folder, name="theirs")], tmp_path / "out", data)
