"""`--mask auto`, with a model of rembg's that needs no download: brighter than half is object."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import drip_lightning.cli.main as command
from drip_lightning.cli.auto_mask import AutoMask, mask_option
from drip_lightning.ops.trimap import trimap_uint8

WIDTH, HEIGHT = 45, 37


def test_auto_is_a_word_and_not_a_file() -> None:
    assert mask_option("auto") == AutoMask(None)
    assert mask_option("auto:u2net") == AutoMask("u2net")
    assert mask_option("./auto") == Path("auto")
    assert mask_option("auto.png") == Path("auto.png")


@pytest.fixture
def bright() -> Iterator[str]:
    """The name of the stand-in, registered as rembg's own models are; and one that sends pictures away."""
    sessions = pytest.importorskip("rembg.sessions")

    class Bright(sessions.BaseSession):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            pass

        def predict(self, picture: Image.Image, *arguments: Any, **options: Any) -> list[Image.Image]:
            assert picture.mode == "RGB"
            return [picture.convert("L").point(lambda value: 230 if value > 127 else 20)]

        @classmethod
        def name(cls, *arguments: Any, **options: Any) -> str:
            return "bright"

    class Elsewhere(Bright):
        @classmethod
        def name(cls, *arguments: Any, **options: Any) -> str:
            return "elsewhere"

        @classmethod
        def is_local(cls, *arguments: Any, **options: Any) -> bool:
            return False

    known = sessions.sessions_class
    known += [Bright, Elsewhere]  # in place: rembg looks for models in this list
    yield "bright"
    del known[-2:]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A bright square on dark ground."""
    pixels = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    pixels[9:28, 12:33] = [250, 240, 230]
    path = tmp_path / "pictures" / "cat.png"
    path.parent.mkdir()
    Image.fromarray(pixels).save(path)
    return path


def _matte(picture: Path, runs: Path, out: Path, *more: str) -> int:
    given = ["matte", str(picture), f"--checkpoint={runs / 'denoiser'}", f"--out={out}", "--steps=2", *more]
    return command.run(given)


def test_the_trimap_that_was_made_lies_beside_the_result_and_leads_to_it(
    bright: str, picture: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert _matte(picture.parent, runs, out, f"--mask=auto:{bright}", "--band=4", "--json") == 0
    (facts,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert facts["guide"] == str(out / "cat.trimap.png")
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[9:28, 12:33] = 255
    with Image.open(out / "cat.trimap.png") as file:
        assert np.array_equal(np.array(file), trimap_uint8(mask, dilation=4, erosion=4))
    assert sorted(path.name for path in out.iterdir()) == ["cat.png", "cat.trimap.png"]
    assert _matte(picture, runs, tmp_path / "again", f"--trimap={out / 'cat.trimap.png'}") == 0
    assert (out / "cat.png").read_bytes() == (tmp_path / "again" / "cat.png").read_bytes()
    before = (out / "cat.trimap.png").stat().st_mtime_ns
    assert _matte(picture, runs, out, f"--mask=auto:{bright}") == 0  # kept, and its trimap with it
    assert (out / "cat.trimap.png").stat().st_mtime_ns == before


def test_a_picture_that_shows_no_object_or_moves_costs_itself(
    bright: str, picture: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("dark", 30), ("light", 250)):
        Image.new("RGB", (9, 9), (value,) * 3).save(picture.with_name(f"{name}.png"))
    stills = [Image.new("L", (9, 9), value) for value in (0, 255)]
    stills[0].save(picture.with_name("moving.png"), save_all=True, append_images=stills[1:])
    assert _matte(picture.parent, runs, tmp_path / "out", f"--mask=auto:{bright}") == 1
    said = capsys.readouterr().err
    for name, line in (
        ("dark", "dark.png: rembg finds no object in it, give a mask or trimap of your own"),
        ("light", "light.png: rembg finds nothing but object in it, give a mask or trimap of your own"),
        ("moving", "moving.png has 2 frames or pages: --mask auto takes pictures of one"),
    ):
        assert f"{picture.parent}/{line}\n" in said
        assert not list((tmp_path / "out").glob(f"{name}*"))
    assert (tmp_path / "out" / "cat.png").is_file()


def test_each_refusal_is_a_line(
    bright: str,
    picture: Path,
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert _matte(picture, runs, out, "--mask=auto", "--invert-mask") == 1
    assert "--invert-mask belongs to a mask of your own, not to --mask auto" in capsys.readouterr().err
    assert _matte(picture, runs, Path("-"), "--mask=auto") == 1
    assert "--mask auto writes its trimap beside the result: name a file or folder" in capsys.readouterr().err
    for unknown in ("nonsense", "elsewhere"):  # the second is there, but sends pictures to a service
        assert _matte(picture, runs, out, f"--mask=auto:{unknown}") == 1
        said = capsys.readouterr().err
        assert f"--mask auto:{unknown}: expected one of " in said
        assert "bright" in said.split("expected one of ")[1]
        assert "elsewhere" not in said.split("expected one of ")[1]
    monkeypatch.setattr("rembg.new_session", _offline)
    assert _matte(picture, runs, out, f"--mask=auto:{bright}") == 1
    said = capsys.readouterr().err
    assert "rembg cannot load its model bright (no route to host): connect once, or copy ~/.rembg from" in said
    monkeypatch.setitem(sys.modules, "rembg", None)
    assert _matte(picture, runs, out, "--mask=auto") == 1
    assert "--mask auto needs rembg: pip install 'drip_lightning[auto]'" in capsys.readouterr().err
    assert not (out / "cat.png").exists()


def _offline(model: str) -> None:
    raise ConnectionError("no route to host")
