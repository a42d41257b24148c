"""Stages and choices of somebody's own, in a package outside the repository: every verb opens their runs."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from PIL import Image

import drip_lightning.cli.main as command
from drip_lightning.lit.resume.checkpoint_io import newest_checkpoint, read_checkpoint
from drip_lightning.lit.stage import load
from tests.runs import CONFIGS, tiny_arguments

OWN = '''
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.transparency import TransparencyDecoder
from drip_lightning.nn.attention import IndependentAttention

class Windowed(IndependentAttention):
    def __init__(self, window: int = 3) -> None:
        self.window = window

class OwnDenoiser(Denoiser):
    """A stage of somebody's own."""

class OwnDecoder(TransparencyDecoder):
    """Another."""
'''


@pytest.fixture(scope="module")
def mylab(synth: Path, runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A researcher's working directory with a module that only it knows, and two stages trained of it."""
    place = tmp_path_factory.mktemp("work")
    (place / "mylab").mkdir()
    (place / "mylab" / "__init__.py").touch()
    (place / "mylab" / "own.py").write_text(OWN)
    shutil.copytree(runs / "autoencoder", place / "runs" / "autoencoder")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(sys, "path", [one for one in sys.path if one not in ("", str(place))])
        windowed = "class_path: mylab.own.Windowed\n      init_args: {window: 5}\n"
        for stage, kind in (("denoiser", "Denoiser"), ("transparency", "TransparencyDecoder")):
            text = (CONFIGS / f"{stage}.yaml").read_text().replace("class_path: CrossDomainAttention\n", windowed)
            own = {"Denoiser": "OwnDenoiser", "TransparencyDecoder": "OwnDecoder"}[kind]
            Path(f"{stage}.yaml").write_text(text.replace(f"class_path: {kind}\n", f"class_path: mylab.own.{own}\n"))
            arguments = tiny_arguments(stage, synth, Path("runs"))
            arguments[1] = f"--config={stage}.yaml"
            assert command.run(arguments) == 0
        yield place
    _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mylab"]:
        del sys.modules[name]
    importlib.invalidate_caches()


def test_they_are_stored_by_their_dotted_paths(mylab: Path) -> None:
    description = read_checkpoint(newest_checkpoint(Path("runs/denoiser")))["drip"]
    assert description["class_path"] == "mylab.own.OwnDenoiser"
    attention = description["init_args"]["attention"]
    assert attention == {"class_path": "mylab.own.Windowed", "init_args": {"window": 5}}
    stored = Path("runs/denoiser/config.yaml").read_text()
    assert "mylab.own.Windowed" in stored
    assert "PosEncSwitcher" in stored
    assert "drip_lightning" not in yaml.safe_load(stored)["model"]["class_path"]
    assert read_checkpoint(newest_checkpoint(Path("runs/transparency")))["drip"]["class_path"] == "mylab.own.OwnDecoder"


@pytest.mark.slow
def test_every_verb_opens_the_runs_and_their_exports_a_fresh_process_too(mylab: Path, synth: Path) -> None:
    """A run's mattes are its export's, bit for bit."""
    Image.effect_mandelbrot((37, 45), (-2, -1, 1, 1), 50).convert("RGB").save("cat.png")
    Image.linear_gradient("L").resize((37, 45)).point([0] * 80 + [128] * 90 + [255] * 86).save("trimap.png")
    common = ["matte", "cat.png", "--trimap", "trimap.png", "--steps", "2"]
    again = []
    for stage, kind in (("denoiser", "OwnDenoiser"), ("transparency", "OwnDecoder")):
        assert command.run([*common, "--checkpoint", f"runs/{stage}", "--out", f"mattes/{stage}"]) == 0
        assert command.run(["export", f"runs/{stage}", f"exports/{stage}"]) == 0
        assert type(load(f"exports/{stage}")).__name__ == kind
        again.append([*common, "--checkpoint", f"exports/{stage}", "--out", f"mattes/{stage}-export"])
    shards = ["--data", str(synth / "evaluation"), "--limit", "1"]
    assert command.run(["test", "exports/transparency", *shards, "--out", "results"]) == 0
    again.append(["test", "runs/denoiser", *shards, "--out", "fresh"])

    code = f"from drip_lightning.cli.main import run\nassert [run(one) for one in {again}] == [0, 0, 0]"
    environment = {**os.environ, "PYTHONPATH": str(CONFIGS.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    mattes = {file.parent.name: file.read_bytes() for file in Path("mattes").glob("*/cat.png")}
    assert mattes["denoiser-export"] == mattes["denoiser"]
    assert mattes["transparency-export"] == mattes["transparency"]


def test_where_the_module_is_missing_one_line_says_so(
    mylab: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(mylab)])
    _forget()
    assert command.run(["test", str(mylab / "runs" / "denoiser"), "--data", "nowhere", "--out", "third"]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "mylab.own" in said[0]
    assert "cannot be imported" in said[0]
