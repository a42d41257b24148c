from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from drip_lightning.cli import results as module
from drip_lightning.cli.matte_options import build_parser
from drip_lightning.cli.results import Results, write_panel
from drip_lightning.cli.trimap import build_parser as build_trimap_parser
from drip_lightning.data.deep import deep_values
from drip_lightning.data.encode import FORMATS, encode_picture
from drip_lightning.data.exr import read_exr, write_exr
from drip_lightning.data.frames import Frames
from drip_lightning.data.matte_inputs import read_inputs
from drip_lightning.data.matte_jobs import MatteJob
from drip_lightning.data.own_colours import profile_colours
from drip_lightning.errors import InputError
from drip_lightning.nn.sampler import Matte
from drip_lightning.ops.srgb import srgb_to_linear
from tests.data.test_pixels import display_p3
from tests.test_docs import commands


def matte(height: int = 6, width: int = 8) -> Matte:
    noise = torch.rand(1, 4, height, width, generator=torch.Generator().manual_seed(0))
    alpha = noise[:, 3:].masked_fill(torch.arange(width) < width // 2, 0.001)  # rounds to 0
    return Matte(foreground=noise[:, :3], alpha=alpha)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def results(*options: str) -> Results:
    """As the options of `drip matte` say."""
    return Results.of(build_parser().parse_args(["a.png", "--mask=m.png", *(options or ("--out=out",))]))


def written(tmp_path: Path, picture: Path, *options: str, image: torch.Tensor | None = None) -> Path:
    chosen = results("--out", str(tmp_path), *options)
    path = tmp_path / f"result{chosen.form.suffixes[0]}"
    chosen.write(path, matte(), torch.zeros(1, 3, 6, 8) if image is None else image, picture=picture)
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 6)).save(tmp_path / "picture.png", dpi=(300, 300))
    return tmp_path / "picture.png"


def expected() -> tuple[np.ndarray, np.ndarray]:
    """Colour (H, W, 3), 0 where alpha (H, W, 1) rounds to 0."""
    colour, alpha = (values[0].permute(1, 2, 0).numpy() for values in (matte().foreground, matte().alpha))
    return colour * (np.arange(8) >= 4)[:, None], alpha


def test_colour_is_straight_and_zero_where_alpha_is(tmp_path: Path, picture: Path) -> None:
    path = written(tmp_path, picture)
    assert (pixels(path) == np.rint(np.dstack(expected()) * 255)).all()
    with Image.open(path) as found:
        assert found.info["dpi"] == pytest.approx((300, 300), abs=0.02)
        assert "icc_profile" not in found.info


def test_layers_alone_and_over_a_backdrop(tmp_path: Path, picture: Path) -> None:
    colour, alpha = expected()
    assert (pixels(written(tmp_path, picture, "--only-alpha")) == np.rint(alpha[..., 0] * 255)).all()
    assert (pixels(written(tmp_path, picture, "--foreground")) == np.rint(colour * 255)).all()
    whole = matte().foreground[0].permute(1, 2, 0).numpy()  # where alpha is 0.001, too
    over_red = alpha * whole + (1 - alpha) * (1, 0, 0)
    assert np.abs(pixels(written(tmp_path, picture, "--over=red")) - over_red * 255).max() <= 0.5001
    Image.new("RGB", (80, 60), "red").save(tmp_path / "red.png")
    from_picture = written(tmp_path, picture, "--over", str(tmp_path / "red.png"))
    assert np.abs(pixels(from_picture) - over_red * 255).max() <= 0.5001


@pytest.mark.parametrize("form", ["png", "tiff"])
def test_sixteen_bits(tmp_path: Path, picture: Path, form: str) -> None:
    found = deep_values(written(tmp_path, picture, f"--format={form}", "--bits=16").read_bytes(), name="x")
    colour, alpha = matte().foreground[0].permute(1, 2, 0).numpy(), expected()[1]  # 0.001 is not 0 in 16 bits
    assert (found == np.rint(np.dstack([colour, alpha]) * 65535)).all()


def test_openexr_is_linear_and_premultiplied(tmp_path: Path, picture: Path) -> None:
    found = read_exr(written(tmp_path, picture, "--format=exr").read_bytes(), name="x")
    colour, alpha = matte().foreground[0].permute(1, 2, 0).numpy(), expected()[1]
    assert np.allclose(found.alpha, alpha[..., 0], atol=1e-3)
    assert np.allclose(found.colour, srgb_to_linear(colour), atol=2e-3)


def test_openexr_keeps_what_is_brighter_than_white_by_its_share(tmp_path: Path) -> None:
    light = np.full((6, 8, 3), 5, np.float32)
    (tmp_path / "bright.exr").write_bytes(write_exr(colour=light, alpha=None))
    path = written(tmp_path, tmp_path / "bright.exr", "--format=exr", image=torch.ones(1, 3, 6, 8))
    colour, alpha = matte().foreground[0].permute(1, 2, 0).numpy(), expected()[1]
    assert np.allclose(read_exr(path.read_bytes(), name="x").colour, srgb_to_linear(colour) + alpha * 4, rtol=4e-3)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_profile_is_kept_with_colours_that_srgb_has_not(tmp_path: Path, bits: int) -> None:
    own = np.zeros((6, 8, 3), np.uint16)
    own[:] = (0, 65535, 257 * 20)  # P3's green is none of sRGB's
    profile = display_p3()
    form = FORMATS["png"]
    picture = tmp_path / "p3.png"
    picture.write_bytes(encode_picture(own / np.float32(65535), form, bits=bits, profile=profile))
    seen, _ = read_inputs(MatteJob(picture, _guide(tmp_path), picture), band=None)
    chosen = results("--out", str(tmp_path), "--keep-profile", f"--bits={bits}")
    whole = Matte(foreground=seen, alpha=torch.ones(1, 1, 6, 8))
    chosen.write(tmp_path / "kept.png", whole, seen, picture=picture)
    with Image.open(tmp_path / "kept.png") as found:
        assert found.info["icc_profile"] == profile
        assert np.asarray(found)[0, 0].tolist() == [0, 255, 20, 255]
    grey = Matte(foreground=torch.full((1, 3, 6, 8), 0.5), alpha=torch.ones(1, 1, 6, 8))
    values = chosen.pixels(grey, seen * 0, replace(profile_colours(picture.read_bytes(), name="x"), values=None))
    assert np.allclose(values[..., :3], 0.5, atol=2e-3)  # greys are alike in both: their curves are


def test_a_backdrop_of_several_pages_is_refused(tmp_path: Path) -> None:
    page = Image.new("RGB", (8, 6))
    page.save(tmp_path / "two.tif", save_all=True, append_images=[page])
    with pytest.raises(InputError, match=r"two\.tif has 2 frames or pages: give a file of each"):
        results("--out", "o", "--over", str(tmp_path / "two.tif"))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--bits 16", "a.gif has 2 frames or pages: of 16 bits they go with --format tiff alone"),
        ("--keep-profile", "a.gif has 2 frames or pages, which are written in sRGB: leave out --keep-profile"),
        ("--format exr", "a.gif has 2 frames or pages, and OpenEXR one: choose another --format"),
        ("--format tiff --bits 16", None),
    ],
)
def test_what_several_frames_cannot_have_is_refused_by_name(options: str, complaint: str | None) -> None:
    chosen = results("--out", "o", *options.split())
    result = Path(f"a{chosen.form.suffixes[0]}")
    chosen.require_frames(result, Frames((0,)), name="a.gif")
    if complaint is None:
        chosen.require_frames(result, Frames((0, 1)), name="a.gif")
        assert chosen.page(matte(), torch.zeros(1, 3, 6, 8)).dtype == np.uint16
    else:
        with pytest.raises(InputError, match=complaint):
            chosen.require_frames(result, Frames((0, 1)), name="a.gif")


def _guide(tmp_path: Path) -> Path:
    Image.new("L", (8, 6), 128).save(tmp_path / "guide.png")
    return tmp_path / "guide.png"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--out o.png --format exr", "--out o.png and --format exr contradict each other: leave one out"),
        ("--out o --format webp --bits 16", "--bits 16: webp has 8"),
        ("--out o.exr --keep-profile", "--keep-profile: OpenEXR has no profile"),
        ("--out - --panel", "--panel and --json need a file"),
        ("--out o --over #00ff0080", "--over #00ff0080: a backdrop is opaque"),
        ("--out o --over nowhere.png", "--over nowhere.png: no picture there, and no colour"),
        ("--out o.jpg", r"--out o\.jpg: results are PNG, WebP, TIFF or OpenEXR, not \.jpg"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        results(*options.split())


def test_the_documented_commands_are_understood() -> None:
    lines = [words[: words.index("<")] if "<" in words else words for words in commands("matting.md")]
    assert [words[0] for words in lines] == ["matte"] * 5 + ["trimap"] * 3
    for verb, *options in lines:
        parsed = (build_parser if verb == "matte" else build_trimap_parser)().parse_args(options)
        if verb == "matte":
            assert Results.of(parsed).layer == ("composite" if "--over" in options else "cut-out")


def test_out_may_be_a_file_by_its_suffix(tmp_path: Path) -> None:
    assert (results("--out=o.tif").file, results("--out=o.tif").form.name) == (Path("o.tif"), "tiff")
    assert (results("--out=o.d").file, results("--out=o.d").form.name) == (None, "png")
    (tmp_path / "o.png").mkdir()
    assert results("--out", str(tmp_path / "o.png")).file is None


def test_a_panel_too_wide_for_jpeg_is_made_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "JPEG_SIDE", 20)
    write_panel(tmp_path / "a.jpg", torch.rand(1, 3, 6, 8), torch.rand(1, 1, 6, 8), matte())
    assert pixels(tmp_path / "a.jpg").shape == (3, 20, 3)  # of 6 by 40


def test_no_jpeg_is_longer() -> None:
    with pytest.raises(OSError, match="when writing image file"):
        Image.new("L", (module.JPEG_SIDE + 1, 1)).save(Path("/dev/null"), "JPEG")
