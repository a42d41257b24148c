import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import drip_lightning.cli.main as command
from drip_lightning.data.augment import Augmentation
from drip_lightning.ops.trimap import trimap_from_alpha, trimap_from_mask

ALPHA = np.zeros((40, 50), np.uint8)
ALPHA[10:30, 10:40] = 120
ALPHA[15:25, 15:35] = 255


def saved(path: Path, pixels: np.ndarray = ALPHA) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def trimap(*arguments: object) -> int:
    return command.run(["trimap", *map(str, arguments)])


def read(path: Path) -> torch.Tensor:
    with Image.open(path) as picture:
        return torch.from_numpy(np.array(picture))[None, None]


def levels(values: torch.Tensor) -> torch.Tensor:
    return (values * 255).round().byte()


def test_of_a_mask_it_is_what_matte_uses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path / "masks" / "deep" / "a.png")
    assert trimap(tmp_path / "masks", "--band", 4, "--out", tmp_path / "out") == 0
    target = tmp_path / "out" / "deep" / "a.png"
    assert capsys.readouterr().out == f"{target}\n"
    assert torch.equal(read(target), levels(trimap_from_mask(torch.from_numpy(ALPHA)[None, None] / 255, 4)))


def test_of_an_alpha_it_is_what_training_draws(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        saved(tmp_path / "alpha" / f"{name}.png")
    options = ("--dilate=1-6", "--erode=1-4", "--seed=3", "--out", tmp_path / "out")
    assert trimap(tmp_path / "alpha", *options) == 0
    drawn = [Augmentation(trimap_dilation=(1, 6), trimap_erosion=(1, 4)).draw(3, number) for number in range(3)]
    assert len({(choices.dilation, choices.erosion) for choices in drawn}) > 1
    alpha = torch.from_numpy(ALPHA)[None, None] / 255
    for name, choices in zip("abc", drawn, strict=True):
        expected = trimap_from_alpha(alpha, [choices.dilation], [choices.erosion])
        assert torch.equal(read(tmp_path / "out" / f"{name}.png"), levels(expected))
    assert trimap(tmp_path / "alpha" / "a.png", "--dilate=5", "--disc", "--out", tmp_path / "disc") == 0
    expected = trimap_from_alpha(alpha, [5], [0], structuring_element="disc")
    assert torch.equal(read(tmp_path / "disc" / "a.png"), levels(expected))


def test_what_exists_is_kept_and_what_fails_costs_itself_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path / "masks" / "a.png")
    saved(tmp_path / "masks" / "c.png")
    (tmp_path / "masks" / "b.png").write_bytes(b"none")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(b"mine")
    assert trimap(tmp_path / "masks", "--out", tmp_path / "out") == 1
    assert capsys.readouterr().err.startswith(f"drip trimap: {tmp_path}/masks/b.png cannot be decoded")
    assert (tmp_path / "out" / "a.png").read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path / "out")) == ["a.png", "c.png"]


def test_a_check_says_what_is_doubtful(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alpha = saved(tmp_path / "alpha" / "a.png")
    assert trimap(alpha, "--dilate=2", "--erode=2", "--out", tmp_path / "good") == 0
    assert trimap(alpha, "--band=1", "--out", tmp_path / "thin") == 0
    capsys.readouterr()
    assert trimap("--check", tmp_path / "good", "--alpha", tmp_path / "alpha") == 0
    good = tmp_path / "good" / "a.png"
    unknown, foreground = 24 * 34 - 6 * 16, 6 * 16  # (20 + 2·2)(30 + 2·2) pixels, but for what is surely opaque
    shares = (unknown, foreground, 2000 - unknown - foreground)
    said = "{:.1%} unknown, {:.1%} foreground, {:.1%} background".format(*(share / 2000 for share in shares))
    assert capsys.readouterr().out == f"{good}: {said}\n"
    assert trimap("--check", tmp_path / "thin" / "a.png", "--alpha", alpha) == 1
    assert ": doubtful: the band is thinner than the soft edge: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("{0}/a.png", "give --out, where trimaps are to go, or --check"),
        ("{0}/a.png --check --out {0}/o", "--check writes nothing: leave out"),
        ("{0}/a.png --out {0}/o --alpha {0}/a.png", "--alpha belongs to --check"),
        ("{0}/a.png --out {0}/o --band 3 --erode 2", "--band is for masks, --dilate and --erode are for alphas"),
        ("{0}/a.png --out {0}/o --disc", "--disc belongs to --dilate and --erode"),
        ("{0}/a.png --out {0}/t.png", "--out {0}/t.png: name a folder, where each trimap goes as NAME.png"),
        ("{0}/a.png --out {0}", "{0}/a.png would replace what was given"),
        ("{0}/a.png {0}/b/a.png --out {0}/o", "are both named a: keep one"),
        ("{0}/small.png --check --alpha {0}/a.png", "{0}/small.png is 9×7 but {0}/a.png is 50×40: make them equal"),
        ("{0}/a.png --check --alpha {0}/b", "no alpha named z in {0}/b for"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str, complaint: str
) -> None:
    saved(tmp_path / "a.png")
    saved(tmp_path / "b" / "a.png")
    saved(tmp_path / "small.png", np.full((7, 9), 128, np.uint8))
    if "named z" in complaint:
        arguments = arguments.replace("a.png --check", "z.png --check")
        saved(tmp_path / "z.png")
    assert trimap(*arguments.format(tmp_path).split()) == 1
    said = capsys.readouterr().err
    assert complaint.format(tmp_path) in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("radii", ["x", "5-2"])
def test_a_radius_is_a_number_or_a_range(radii: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        trimap("a.png", "--out=o", f"--dilate={radii}")
    assert "expected" in capsys.readouterr().err


def test_a_mask_of_several_pages_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = [Image.fromarray(ALPHA), Image.fromarray(255 - ALPHA)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert trimap(tmp_path / "a.tif", "--out", tmp_path / "out") == 1
    told = f"drip trimap: {tmp_path}/a.tif has 2 frames or pages: give a file of each\n"
    assert capsys.readouterr().err == told
