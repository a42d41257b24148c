import errno
import io
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import drip_lightning.cli.main as command
from drip_lightning import load, shipped
from drip_lightning.data.exr import read_exr, write_exr
from drip_lightning.data.frames import frames_of
from drip_lightning.data.matte_inputs import read_inputs
from drip_lightning.data.matte_jobs import MatteJob
from drip_lightning.errors import InputError, reason_of
from drip_lightning.evaluation.named import methods_of
from drip_lightning.lit.matting import MattingStage
from drip_lightning.nn.sampler import Matte, MattingSampler
from drip_lightning.ops.panel import matte_panel
from drip_lightning.ops.randomness import sample_generator
from drip_lightning.ops.srgb import srgb_to_linear
from drip_lightning.ops.trimap import trimap_from_mask
from tests.shards import disc_rgba

WIDTH, HEIGHT = 45, 37


def _picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(disc_rgba(seed, HEIGHT, WIDTH)[..., :3]).save(path, quality=95)
    return path


def _trimap(path: Path, values: tuple[int, ...] = (0, 128, 255), height: int = HEIGHT) -> Path:
    """Stripes of equal width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stripes = np.repeat(np.array(values, np.uint8), -(-WIDTH // len(values)))[:WIDTH]
    Image.fromarray(np.tile(stripes, (height, 1))).save(path)
    return path


def _rgba(path: Path) -> torch.Tensor:
    with Image.open(path) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGBA")
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]


def _matte(*arguments: object) -> int:
    return command.run(["matte", *map(str, arguments), "--steps=2"])


@pytest.fixture(scope="module")
def exported(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `drip export` makes of the last stage's run: the same model, and quicker to load. Not to be changed."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    assert command.run(["export", str(runs / "transparency"), str(folder)]) == 0
    return folder


@pytest.fixture
def common(exported: Path, tmp_path: Path) -> tuple[str, str]:
    return f"--checkpoint={exported}", f"--out={tmp_path / 'out'}"


def test_without_a_checkpoint_the_packages_model_is_used_and_named(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = (_picture(tmp_path / "cat.png"), "--trimap", _trimap(tmp_path / "trimap.png"))
    monkeypatch.setattr(shipped, "MODEL", tmp_path / "model")
    assert _matte(*given, f"--out={tmp_path / 'none'}") == 1
    assert f"{tmp_path / 'model'} holds no model: name one; `make fit` trains a toy one" in capsys.readouterr().err
    shutil.copytree(exported, tmp_path / "model")
    assert _matte(*given, f"--out={tmp_path / 'default'}") == 0
    assert f"no --checkpoint, so the model in {tmp_path / 'model'} is used" in capsys.readouterr().err
    assert _matte(*given, f"--out={tmp_path / 'named'}", f"--checkpoint={tmp_path / 'model'}") == 0
    default, named = (_rgba(tmp_path / out / "cat.png") for out in ("default", "named"))
    assert torch.equal(default, named)
    (method,) = methods_of(["shipped"])
    assert (method.name, load().joint_unet.unet.config.in_channels) == ("shipped", 12)


def test_the_result_is_the_pipelines_and_keeps_what_is_known(
    runs: Path, tmp_path: Path, common: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    picture, trimap = _picture(tmp_path / "cat.png"), _trimap(tmp_path / "trimap.png")
    assert _matte(picture, "--trimap", trimap, *common, "--seed=3") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out' / 'cat.png'}\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cat.png"]

    image, known = read_inputs(MatteJob(picture, trimap, tmp_path), band=None)
    sampler = MattingStage.from_checkpoint(runs / "transparency").sampler
    matte = sampler(image, known, steps=2, generators=[sample_generator(3, 0, "sampling")])
    found = _rgba(tmp_path / "out" / "cat.png")
    assert torch.equal(found[:, 3:], (matte.alpha * 255).round().byte())
    straight = (matte.foreground * 255).round().byte()  # not multiplied by alpha, but 0 where alpha is
    assert torch.equal(found[:, :3], straight * (found[:, 3:] > 0))
    assert straight[(found[:, 3:] == 0).expand_as(straight)].any()

    alpha, original = found[:, 3:], (image * 255).round().byte()
    assert set(known.unique().tolist()) == {0, 0.5, 1}
    assert (alpha[known == 0] == 0).all()
    assert (alpha[known == 1] == 255).all()
    inside = (known == 1).expand_as(original)
    assert torch.equal(found[:, :3][inside], original[inside])


def test_the_denoiser_alone_mattes_too_and_the_seed_matters(runs: Path, tmp_path: Path) -> None:
    picture, trimap = _picture(tmp_path / "cat.png"), _trimap(tmp_path / "trimap.png")
    results = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        out = tmp_path / name
        checkpoint = runs / "denoiser" / "checkpoints" / "step=0000002.ckpt"
        assert _matte(picture, "--trimap", trimap, "--checkpoint", checkpoint, "--out", out, f"--seed={seed}") == 0
        results.append(_rgba(out / "cat.png"))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_a_folder_of_pictures_finds_trimaps_of_the_same_name(tmp_path: Path, common: tuple[str, str]) -> None:
    for seed, name in enumerate(("a.jpg", "b.png", "c.webp")):
        _picture(tmp_path / "pictures" / name, seed)
    for name in ("a.png", "b.webp", "c.png", "other.png"):
        _trimap(tmp_path / "trimaps" / name)
    (tmp_path / "pictures" / "notes.txt").write_text("not a picture")
    assert _matte(tmp_path / "pictures", "--trimap", tmp_path / "trimaps", *common) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png", "c.png"]
    assert all(_rgba(path).shape == (1, 4, HEIGHT, WIDTH) for path in (tmp_path / "out").iterdir())


def test_a_mask_becomes_a_trimap_with_a_band(tmp_path: Path, common: tuple[str, str]) -> None:
    picture, mask = _picture(tmp_path / "cat.png"), _trimap(tmp_path / "mask.png", (0, 255))
    assert _matte(picture, "--mask", mask, "--band=5", *common) == 0
    _, trimap = read_inputs(MatteJob(picture, mask, tmp_path), band=5)
    step = (torch.arange(WIDTH) >= 23).float().expand(1, 1, HEIGHT, WIDTH)
    assert torch.equal(trimap, trimap_from_mask(step, 5))
    assert (trimap[0, 0, 0] == 0.5).sum() == 10
    alpha = _rgba(tmp_path / "out" / "cat.png")[:, 3:]
    assert (alpha[trimap == 0] == 0).all()
    assert (alpha[trimap == 1] == 255).all()


def test_results_that_exist_are_kept_unless_told(
    tmp_path: Path, common: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    picture, trimap = _picture(tmp_path / "cat.png"), _trimap(tmp_path / "trimap.png")
    result = tmp_path / "out" / "cat.png"
    result.parent.mkdir()
    result.write_bytes(b"mine")
    assert _matte(picture, "--trimap", trimap, *common) == 0
    assert result.read_bytes() == b"mine"
    assert "kept 1 results that exist" in capsys.readouterr().out
    assert _matte(picture, "--trimap", trimap, *common, "--overwrite") == 0
    assert _rgba(result).shape == (1, 4, HEIGHT, WIDTH)


def test_the_panel_shows_input_and_result(tmp_path: Path, common: tuple[str, str]) -> None:
    picture, trimap = _picture(tmp_path / "cat.png"), _trimap(tmp_path / "trimap.png")
    assert _matte(picture, "--trimap", trimap, *common, "--panel") == 0
    rgba = _rgba(tmp_path / "out" / "cat.png") / 255
    with Image.open(tmp_path / "out" / "cat.panel.jpg") as panel:
        found = torch.from_numpy(np.array(panel)).permute(2, 0, 1)[None] / 255
    image, known = read_inputs(MatteJob(picture, trimap, tmp_path), band=None)
    expected = matte_panel(image, known, rgba[:, 3:], rgba[:, :3])
    assert found.shape == expected.shape
    without_foreground = torch.arange(5 * WIDTH) // WIDTH != 3  # drawn whole, and written only where alpha is not 0
    assert (found - expected)[..., without_foreground].abs().mean() < 0.03
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cat.panel.jpg", "cat.png"]


def test_a_picture_that_fails_costs_itself_alone(
    tmp_path: Path, common: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abcd":
        _picture(tmp_path / "pictures" / f"{name}.png")
        _trimap(tmp_path / "trimaps" / f"{name}.png")
    broken, gone, odd = (tmp_path / "pictures" / name for name in ("b.png", "c.png", "e.psd"))
    broken.write_bytes(broken.read_bytes()[:200])
    gone.unlink()
    gone.symlink_to(tmp_path / "nowhere")
    odd.touch()
    assert _matte(tmp_path / "pictures", "--trimap", tmp_path / "trimaps", *common) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"drip matte: {odd} is of a kind that is not read: save it as PNG or TIFF"
    assert said[1].startswith(f"drip matte: {broken} cannot be decoded: ")
    assert said[2:] == [f"drip matte: {gone} cannot be read (No such file or directory)"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "d.png"]


def test_want_of_memory_costs_the_picture_alone(
    tmp_path: Path, common: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        _picture(tmp_path / "pictures" / name)
        _trimap(tmp_path / "trimaps" / name)
    matte, demands = MattingSampler.__call__, iter([lambda: torch.empty(1 << 50), lambda: np.empty(1 << 50), None])

    def greedy(self: MattingSampler, *inputs: torch.Tensor, **options: Any) -> Matte:
        if demand := next(demands):
            demand()
        return matte(self, *inputs, **options)

    monkeypatch.setattr(MattingSampler, "__call__", greedy)
    assert _matte(tmp_path / "pictures", "--trimap", tmp_path / "trimaps", *common, "--device=cpu") == 1
    complaint = "is too big for the memory of cpu: make it smaller"
    pictures = tmp_path / "pictures"
    assert capsys.readouterr().err.splitlines() == [f"drip matte: {pictures / n}.png {complaint}" for n in "ab"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c.png"]


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("os.fsync", OSError(errno.ENOSPC, "No space left on device")),
        ("pathlib.Path.write_bytes", OSError(errno.ENOSPC, "No space left on device")),
    ],
)
def test_a_full_disk_ends_the_run_in_one_line(
    tmp_path: Path,
    common: tuple[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    error: OSError,
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    for name in ("a.png", "b.png"):
        _picture(tmp_path / "pictures" / name)
        _trimap(tmp_path / "trimaps" / name)
    monkeypatch.setattr(place, fail)
    assert _matte(tmp_path / "pictures", "--trimap", tmp_path / "trimaps", *common) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"drip matte: cannot write {tmp_path / 'out' / 'a.png'} ({reason_of(error)}): free some")
    assert said.count("\n") == 1
    assert not list((tmp_path / "out").iterdir())


def test_an_out_that_cannot_be_written_to_is_found_first(
    tmp_path: Path, common: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)  # root may write anywhere
    assert _matte(_picture(tmp_path / "a.png"), "--trimap", _trimap(tmp_path / "t.png"), *common) == 1
    assert capsys.readouterr().err == f"drip matte: --out {tmp_path}/out cannot be written to: choose another folder\n"


@pytest.mark.parametrize("suffix", [".tif", ".bmp", ".gif", ".avif", ".HEIC"])
def test_pictures_of_every_kind_are_read(tmp_path: Path, suffix: str) -> None:
    if suffix == ".HEIC":
        pytest.importorskip("pillow_heif").register_heif_opener()
    picture, trimap = _picture(tmp_path / f"cat{suffix}"), _trimap(tmp_path / "trimap.png")
    image, _ = read_inputs(MatteJob(picture, trimap, tmp_path), band=None)
    expected = torch.from_numpy(disc_rgba(0, HEIGHT, WIDTH)[..., :3]).permute(2, 0, 1)[None] / 255
    assert (image - expected).abs().mean() < (0.04 if suffix in (".gif", ".avif", ".HEIC") else 1e-6)


def test_heic_without_its_extra_says_what_to_install(
    tmp_path: Path, common: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    picture = tmp_path / "a.heic"
    picture.write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic")
    assert _matte(picture, "--trimap", _trimap(tmp_path / "t.png"), *common) == 1
    assert "a.heic is HEIC, which pillow-heif reads: pip install 'drip_lightning[heif]'" in capsys.readouterr().err


def test_a_result_is_written_whole_or_not_at_all(
    tmp_path: Path, common: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, trimap = _picture(tmp_path / "cat.png"), _trimap(tmp_path / "trimap.png")

    def interrupted(self: Path, content: bytes) -> None:
        self.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    assert _matte(picture, "--trimap", trimap, *common) == 130
    assert not (tmp_path / "out" / "cat.png").exists()
    monkeypatch.undo()
    assert _matte(picture, "--trimap", trimap, *common) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cat.png"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("{0}/a.png --trimap {0}/low.png {1}", "{0}/a.png is 45×37 but {0}/low.png is 45×30: make them equal"),
        ("{0}/a.png --trimap {0}/sure.png {1}", "{0}/sure.png leaves no pixel unknown: paint its outline grey, or"),
        ("{0}/nowhere.png --trimap {0}/t.png {1}", "no picture or folder at {0}/nowhere.png"),
        ("{0}/a.png --trimap {0}/nowhere.png {1}", "no trimap or mask at {0}/nowhere.png"),
        ("{0}/b.jpg --trimap {0}/trimaps {1}", "no trimap or mask named b in {0}/trimaps for {0}/b.jpg"),
        ("{0}/a.png {0}/b.jpg --trimap {0}/t.png {1}", "2 pictures but one trimap or mask {0}/t.png: give a folder"),
        ("{0}/a.png --trimap {0}/twins {1}", "{0}/twins/a.png and {0}/twins/a.webp are both named a: keep one"),
        ("{0}/empty --trimap {0}/t.png {1}", "no pictures (.png, .apng, .jpg, "),
        ("{0}/a.png --trimap {0}/t.png {1} --out {0}", "{0}/a.png would replace what was given: choose another --out"),
        ("{0}/a.png --trimap {0}/t.png {1} --out {0}/t.png", "{0}/t.png would replace what was given: choose another"),
        ("{0}/a.png --trimap {0}/t.png {1} --out {0}/notes", "cannot make the folder --out {0}/notes (File exists)"),
        ("{0} --trimap {0}/trimaps {1} --out {0}", "results in {0} itself would be taken for pictures the next time"),
        ("{0}/a.png {0}/b.jpg --trimap {0}/trimaps {1} --out {0}/x.png", "2 pictures but one result {0}/x.png: name a"),
        ("{0}/a.png --trimap {0}/t.png {1} --invert-mask", "--band and --invert-mask belong to --mask"),
        ("{0}/a.png --trimap {0}/t.png {1} --checkpoint {2}/autoencoder", "expected Denoiser or TransparencyDecoder"),
        ("{0}/a.png --trimap {0}/t.png {1} --checkpoint {2}/nowhere", "no checkpoint at {2}/nowhere"),
        ("{0}/a.png --trimap {0}/t.png {1} --device warp", "--device warp cannot be used here"),
        ("{0}/a.png --trimap {0}/t.png {1} --seed -1", "--band and --seed not negative"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    runs: Path,
    tmp_path: Path,
    common: tuple[str, str],
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    complaint: str,
) -> None:
    for name in ("a.png", "b.jpg"):
        _picture(tmp_path / name)
    for name in ("t.png", "trimaps/a.png", "twins/a.png", "twins/a.webp"):
        _trimap(tmp_path / name)
    _trimap(tmp_path / "low.png", height=30)
    _trimap(tmp_path / "sure.png", (0, 255))
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").touch()
    before = (tmp_path / "a.png").read_bytes()
    assert _matte(*arguments.format(tmp_path, " ".join(common), runs).split()) == 1
    said = capsys.readouterr().err
    assert said.startswith("drip matte: ")
    assert complaint.format(tmp_path, "", runs) in said
    assert said.count("\n") == 1
    assert not list(tmp_path.glob("out/*"))
    assert (tmp_path / "a.png").read_bytes() == before


def test_too_many_steps_for_the_schedule(
    tmp_path: Path, common: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    picture, trimap = _picture(tmp_path / "cat.png"), _trimap(tmp_path / "trimap.png")
    assert command.run(["matte", str(picture), f"--trimap={trimap}", *common, "--steps=2000"]) == 1
    assert capsys.readouterr().err == "drip matte: --steps must be at most 1000, got 2000\n"


def test_where_the_picture_is_transparent_the_result_is(tmp_path: Path, common: tuple[str, str]) -> None:
    pixels = disc_rgba(0, HEIGHT, WIDTH)
    pixels[..., 3] = 200
    pixels[: HEIGHT // 2, :, 3] = 0  # over background, unknown and foreground alike
    Image.fromarray(pixels).save(tmp_path / "cat.png")
    trimap = _trimap(tmp_path / "trimap.png")
    assert _matte(tmp_path / "cat.png", "--trimap", trimap, *common) == 0
    alpha = _rgba(tmp_path / "out" / "cat.png")[0, 3]
    assert (alpha[: HEIGHT // 2] == 0).all()
    assert (alpha[HEIGHT // 2 :, 2 * WIDTH // 3 :] == 255).all()


def test_a_band_belongs_to_a_mask(tmp_path: Path, common: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    picture, trimap = _picture(tmp_path / "cat.png"), _trimap(tmp_path / "trimap.png")
    assert _matte(picture, "--trimap", trimap, "--band=3", *common) != 0
    assert "--band and --invert-mask belong to --mask" in capsys.readouterr().err


def test_a_trimap_lies_as_its_picture_is_seen_or_as_it_lies_in_the_file(
    tmp_path: Path, common: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    def read(orientation: int, trimap: np.ndarray, **options: Any) -> torch.Tensor:
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.new("RGB", (4, 2)).save(tmp_path / "a.jpg", exif=exif)
        Image.fromarray(trimap).save(tmp_path / "t.png")
        return read_inputs(MatteJob(tmp_path / "a.jpg", tmp_path / "t.png", tmp_path), band=None, **options)[1][0, 0]

    lying = np.array([[0, 128, 255, 255], [0, 0, 128, 255]], np.uint8)
    seen = torch.tensor([[0, 0], [0, 0.5], [0.5, 1], [1, 1]])  # a quarter to the right
    assert torch.equal(read(6, lying), seen)
    assert torch.equal(read(6, np.rot90(lying, -1)), seen)
    on_its_head = torch.tensor([[1, 0.5, 0, 0], [1, 1, 0.5, 0]])
    assert torch.equal(read(3, lying, guide_lies="raw"), on_its_head)
    assert torch.equal(read(3, lying[::-1, ::-1], guide_lies="upright"), on_its_head)
    exif = Image.Exif()
    exif[0x0112] = 3
    _picture(tmp_path / "b.png")
    Image.open(tmp_path / "b.png").save(tmp_path / "a.jpg", exif=exif)
    arguments = (tmp_path / "a.jpg", "--trimap", _trimap(tmp_path / "t.png"), *common)
    assert _matte(*arguments) == 1
    assert "give --trimap-orientation upright" in capsys.readouterr().err
    assert _matte(*arguments, "--trimap-orientation=upright") == 0


def test_sizes_and_precision_are_the_command_line_s(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is found differs, what is known does not; what is impossible is refused before the work."""
    picture, trimap = _picture(tmp_path / "cat.png"), _trimap(tmp_path / "trimap.png")
    common = picture, "--trimap", trimap, f"--checkpoint={exported}"
    results = []
    for number, sizes in enumerate(([], ["--tile-size=32"], ["--processing-size=16"], ["--precision=bf16"])):
        out = tmp_path / str(number)
        assert _matte(*common, "--out", out, *sizes) == 0
        results.append(_rgba(out / "cat.png"))
    assert _matte(*common, "--out", tmp_path / "same", "--tile-size=whole", "--processing-size=native") == 0
    assert torch.equal(_rgba(tmp_path / "same" / "cat.png"), results[0])
    stripes = torch.from_numpy(np.array(Image.open(trimap))).expand(1, 1, -1, -1)
    for other in results[1:]:
        assert not torch.equal(other, results[0])
        assert torch.equal(other[:, 3:][stripes != 128], stripes[stripes != 128])
    capsys.readouterr()
    assert _matte(*common, "--out", tmp_path / "none", "--memory=1MB") == 1
    told = capsys.readouterr().err
    assert "a picture of 45×37 needs" in told
    assert "0.00 GB may still be taken: allow " in told
    assert _matte(*common, "--out", tmp_path / "none", "--tile-size=3") == 1
    assert "tile size: expected at least" in capsys.readouterr().err


def test_pictures_of_few_pixels_and_of_one_row(tmp_path: Path, common: tuple[str, str]) -> None:
    for width, height, unknown in ((1, 1, 1), (4, 2, 4), (2, 4, 2), (70_000, 1, 9)):
        name = f"{width}x{height}.png"
        for folder, pixels in (
            ("pictures", np.full((height, width, 3), (200, 90, 30), np.uint8)),
            ("trimaps", np.repeat(np.uint8([[0] * (width - unknown) + [128] * unknown]), height, axis=0)),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / name)
    assert _matte(tmp_path / "pictures", "--trimap", tmp_path / "trimaps", *common) == 0
    for path in (tmp_path / "pictures").iterdir():
        with Image.open(path) as picture, Image.open(tmp_path / "out" / path.name) as found:
            assert found.size == picture.size
    assert not _rgba(tmp_path / "out" / "70000x1.png")[0, 3, 0, :-9].any()


def test_a_panel_that_is_missing_is_drawn_of_the_result_that_is_kept(
    tmp_path: Path, common: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, trimap = _picture(tmp_path / "cat.png"), _trimap(tmp_path / "trimap.png")
    panel, result = tmp_path / "out" / "cat.panel.jpg", tmp_path / "out" / "cat.png"
    assert _matte(picture, "--trimap", trimap, *common, "--panel") == 0
    before = panel.read_bytes(), result.read_bytes()
    panel.unlink()
    monkeypatch.setattr(MattingStage, "from_checkpoint", None)  # nothing is matted again
    assert _matte(picture, "--trimap", trimap, *common, "--panel") == 0
    drawn, drawn_again = (np.asarray(Image.open(io.BytesIO(content))) for content in (before[0], panel.read_bytes()))
    without_foreground = np.arange(5 * WIDTH) // WIDTH != 3  # which is kept only where alpha is not 0
    assert np.abs(drawn.astype(int) - drawn_again)[:, without_foreground].mean() < 1
    assert result.read_bytes() == before[1]
    capsys.readouterr()
    panel.unlink()
    Image.new("RGB", (WIDTH, HEIGHT), "red").save(result)
    assert _matte(picture, "--trimap", trimap, *common, "--panel") == 1
    assert "cat.png is a colour picture without alpha" in capsys.readouterr().err


def test_the_picture_may_come_from_standard_input_and_go_to_standard_output(
    tmp_path: Path, common: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    picture, trimap = _picture(tmp_path / "cat.png"), _trimap(tmp_path / "trimap.png")
    checkpoint, _ = common
    assert _matte(picture, "--trimap", trimap, checkpoint, "--out", tmp_path / "deep" / "cat.png") == 0
    assert capfdbinary.readouterr().out == f"{tmp_path}/deep/cat.png\n".encode()
    monkeypatch.setattr(sys, "stdin", picture.open())
    assert _matte("-", "--trimap", trimap, checkpoint, "--out", "-") == 0
    assert capfdbinary.readouterr().out == (tmp_path / "deep" / "cat.png").read_bytes()

    short = _trimap(tmp_path / "short.png", height=30)
    monkeypatch.setattr(sys, "stdin", picture.open())
    assert _matte("-", "--trimap", short, checkpoint, "--out", tmp_path / "out", "--json") == 1
    complaint = f"standard input is 45×37 but {short} is 45×30: make them equal"
    out, err = capfdbinary.readouterr()
    assert err.decode() == f"drip matte: {complaint}\n"
    told = json.loads(out)
    assert (told["picture"], told["error"]) == ("standard input", complaint)


def test_a_line_of_json_for_each_result(
    tmp_path: Path, common: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        _picture(tmp_path / "pictures" / f"{name}.png")
        _trimap(tmp_path / "trimaps" / f"{name}.png", (0, 128, 255) if name == "a" else (0, 255))
    call = (tmp_path / "pictures", "--trimap", tmp_path / "trimaps", *common, "--json")
    assert _matte(*call) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first.pop("seconds") > 0
    files = {"picture": "pictures/a.png", "guide": "trimaps/a.png", "result": "out/a.png"}
    sizes = {"width": WIDTH, "height": HEIGHT, "unknown_share": round(1 / 3, 4)}
    assert first == {**{role: str(tmp_path / file) for role, file in files.items()}, **sizes}
    assert (
        second["error"]
        == f"{tmp_path}/trimaps/b.png leaves no pixel unknown: paint its outline grey, or give it as a mask"
    )
    missing = _picture(tmp_path / "pictures" / "c.png")
    assert _matte(*call) == 1
    first, second, third = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {"picture": str(missing), "error": f"no trimap or mask named c in {tmp_path}/trimaps for {missing}"}
    assert second["kept"] is True
    assert third["error"].endswith("give it as a mask")


def test_frames_of_a_still_do_not_flicker(tmp_path: Path, common: tuple[str, str]) -> None:
    for number in (1, 2, 10):
        _picture(tmp_path / "frames" / f"shot.{number:04}.png")
        _trimap(tmp_path / "trimaps" / f"shot.{number:04}.png")
    assert _matte(tmp_path / "frames", "--trimap", tmp_path / "trimaps", *common) == 0
    first, *others = (path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert others == [first, first]


def test_an_openexr_picture_and_mask(tmp_path: Path, common: tuple[str, str]) -> None:
    light = srgb_to_linear(disc_rgba(0, HEIGHT, WIDTH)[..., :3] / np.float32(255))
    light[:, -10:] *= 8  # within what is surely foreground, brighter than white
    mask = np.tile(np.arange(WIDTH) >= 20, (HEIGHT, 1))
    (tmp_path / "cat.exr").write_bytes(write_exr(colour=light, alpha=None))
    (tmp_path / "mask.exr").write_bytes(write_exr(colour=None, alpha=mask))
    call = (tmp_path / "cat.exr", "--mask", tmp_path / "mask.exr", *common, "--band=5", "--format=exr")
    assert _matte(*call) == 0
    found = read_exr((tmp_path / "out" / "cat.exr").read_bytes(), name="x")
    assert (found.alpha[:, :15] == 0).all()
    assert (found.alpha[:, 25:] == 1).all()
    assert np.allclose(found.colour[:, 25:], light[:, 25:], rtol=2e-3, atol=1e-5)
    assert found.colour.max() > 2


def test_an_inverted_mask_says_the_same(tmp_path: Path) -> None:
    picture = _picture(tmp_path / "cat.png")
    white, black = _trimap(tmp_path / "white.png", (0, 255)), _trimap(tmp_path / "black.png", (255, 0))
    _, expected = read_inputs(MatteJob(picture, white, tmp_path), band=5)
    _, found = read_inputs(MatteJob(picture, black, tmp_path), band=5, inverted=True)
    assert torch.equal(found, expected)


def test_where_all_that_is_unknown_is_transparent_the_picture_is_named(tmp_path: Path) -> None:
    Image.new("RGBA", (WIDTH, HEIGHT)).save(tmp_path / "cat.png")
    job = MatteJob(tmp_path / "cat.png", _trimap(tmp_path / "t.png"), tmp_path)
    with pytest.raises(InputError, match=r"cat\.png is transparent where \S+t\.png is unknown"):
        read_inputs(job, band=None)


def _frames(path: Path, number: int, **options: object) -> Path:
    frames = [Image.fromarray(disc_rgba(seed, HEIGHT, WIDTH)[..., :3]) for seed in range(number)]
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    return path


@pytest.mark.parametrize(
    ("suffix", "result"),
    [
        pytest.param(".gif", ".png", marks=pytest.mark.slow),
        pytest.param(".png", ".png", marks=pytest.mark.slow),
        (".webp", ".webp"),
        pytest.param(".tif", ".tif", marks=pytest.mark.slow),
    ],
)
def test_every_frame_is_done_and_the_kind_stays(
    tmp_path: Path, common: tuple[str, str], suffix: str, result: str
) -> None:
    times = {} if suffix == ".tif" else {"duration": [100, 300], "loop": 0}
    picture = _frames(tmp_path / f"cat{suffix}", 2, **times, **({"lossless": True} if suffix == ".webp" else {}))
    trimap = _trimap(tmp_path / "trimap.png")
    assert _matte(picture, "--trimap", trimap, *common) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"cat{result}"]
    found = frames_of((tmp_path / "out" / f"cat{result}").read_bytes(), name="cat")
    assert found.milliseconds == ((100, 300) if times else ())
    with Image.open(picture) as source, Image.open(tmp_path / "out" / f"cat{result}") as animation:
        for number in range(2):
            source.seek(number)
            source.convert("RGB").save(tmp_path / f"still{number}.png")
            assert _matte(tmp_path / f"still{number}.png", "--trimap", trimap, *common) == 0
            animation.seek(number)
            still = _rgba(tmp_path / "out" / f"still{number}.png")[0].permute(1, 2, 0)
            assert torch.equal(torch.from_numpy(np.array(animation.convert("RGBA"))), still)


def test_a_trimap_has_a_page_for_all_or_one_for_each(
    tmp_path: Path, common: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = _frames(tmp_path / "cat.png", 2)
    pages = [Image.fromarray(np.full((HEIGHT, WIDTH), level, np.uint8)) for level in (0, 255, 128)]
    for page in pages:
        page.paste(128, (0, 0, 5, 5))
    pages[0].save(tmp_path / "two.tif", save_all=True, append_images=pages[1:2])
    pages[0].save(tmp_path / "three.tif", save_all=True, append_images=pages[1:])
    assert _matte(picture, "--trimap", tmp_path / "three.tif", *common) == 1
    two = f"{tmp_path}/three.tif has 3 frames or pages for the 2 of {picture}: give one for all, or one for each"
    assert capsys.readouterr().err == f"drip matte: {two}\n"
    assert _matte(picture, "--trimap", tmp_path / "two.tif", *common) == 0
    with Image.open(tmp_path / "out" / "cat.png") as animation:
        for number, level in enumerate((0, 255)):
            animation.seek(number)
            assert (np.array(animation.convert("RGBA"))[6:, 6:, 3] == level).all()
    assert _matte(_picture(tmp_path / "one.png"), "--trimap", tmp_path / "two.tif", *common) == 1


def test_what_is_for_single_frames_is_refused_of_several(
    tmp_path: Path, common: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    picture, trimap = _frames(tmp_path / "cat.png", 2), _trimap(tmp_path / "trimap.png")
    assert _matte(picture, "--trimap", trimap, *common, "--bits=16") == 1
    assert capsys.readouterr().err == (
        f"drip matte: {picture} has 2 frames or pages: of 16 bits they go with --format tiff alone\n"
    )


def test_the_panel_of_several_frames_shows_the_first(tmp_path: Path, common: tuple[str, str]) -> None:
    picture, trimap = _frames(tmp_path / "cat.png", 2), _trimap(tmp_path / "trimap.png")
    panel = tmp_path / "out" / "cat.panel.jpg"
    assert _matte(picture, "--trimap", trimap, *common, "--panel") == 0
    drawn = np.asarray(Image.open(panel)).astype(int)
    away = [np.abs(drawn[:, :WIDTH] - disc_rgba(seed, HEIGHT, WIDTH)[..., :3]).mean() for seed in (0, 1)]
    assert away[0] < away[1] / 3
    panel.unlink()
    assert _matte(picture, "--trimap", trimap, *common, "--panel") == 0
    assert np.abs(np.asarray(Image.open(panel))[:, : 3 * WIDTH] - drawn[:, : 3 * WIDTH]).mean() < 1


def test_a_trimap_beside_the_picture_needs_no_option(
    tmp_path: Path, common: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    _picture(tmp_path / "photos" / "cat.jpg")
    _trimap(tmp_path / "photos" / "cat_trimap.png")
    assert _matte(tmp_path / "photos", *common) == 0
    assert capsys.readouterr().out == f"{tmp_path}/out/cat.png\n"
    assert _matte(_picture(tmp_path / "photos" / "dog.jpg"), *common) == 1
    assert f"no dog_trimap.png beside {tmp_path}/photos/dog.jpg: give --trimap or --mask" in capsys.readouterr().err
