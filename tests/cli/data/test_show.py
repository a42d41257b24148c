from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drip_lightning.cli.main import run
from drip_lightning.lit.datamodule import MattingDataModule
from drip_lightning.ops.panel import matte_panel
from tests.runs import CONFIGS


def _row(data: MattingDataModule, number: int) -> np.ndarray:
    batch = data.samples([number])
    panel = matte_panel(batch["image"], batch["trimap"], batch["alpha"], batch["foreground"])
    return (panel[0] * 255).round().byte().permute(1, 2, 0).numpy()


@pytest.mark.slow
def test_a_sample_is_drawn_from_its_number(synth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "one.png"
    assert run(["data", "show", str(synth), "--sample", "1234", "--size", "48", "--out", str(out)]) == 0
    data = MattingDataModule(str(synth / "foregrounds"), str(synth / "backgrounds"), image_size=48)
    assert (np.asarray(Image.open(out)) == _row(data, 1234)).all()
    printed = capsys.readouterr().out.split()
    assert printed == ["1234", data.samples([1234])["key"][0], str(out)]


def test_a_grid_of_a_configuration(synth: Path, tmp_path: Path) -> None:
    configs = [f"--config={CONFIGS / name}.yaml" for name in ("denoiser", "scale/tiny")]
    folders = [f"--data.{name}={synth / name}" for name in ("foregrounds", "backgrounds")]
    out = tmp_path / "grid.png"
    more = ["--data.image_size=64"]
    assert run(["data", "show", *configs, *folders, *more, "--grid", "--count=3", "--sample=7", f"--out={out}"]) == 0
    picture = np.asarray(Image.open(out))
    assert picture.shape == (3 * 64, 5 * 64, 3)
    other = tmp_path / "other.png"
    assert run(["data", "show", *configs, *folders, *more, "--sample=8", f"--out={other}"]) == 0
    assert (np.asarray(Image.open(other)) == picture[64:128]).all()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ([], 1, "name a folder of shards"),
        (["nowhere"], 1, "no shards at nowhere/foregrounds"),
        (["a", "b", "c"], 1, "name a folder of shards"),
        (["a", "--sample", "-1"], 1, "--sample, --count"),
        (["a", "--out", "x.txt"], 1, ".png or"),
        (["a", "--flavour", "3"], 2, "unknown option --flavour"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    status: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        assert run(["data", "show", *arguments]) == status
    except SystemExit as stop:
        assert stop.code == status  # noqa: PT017
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error
