"""docs/extending.md, run as it stands: classes of somebody's own, in a package outside the repository."""

import csv
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

import drip_lightning.cli.main as command
from drip_lightning.cli.fit import run
from drip_lightning.data.augment import Augmentation
from drip_lightning.data.shards.reader import ShardFolder
from drip_lightning.lit.datamodule import MattingDataModule
from drip_lightning.lit.resume.checkpoint_io import newest_checkpoint, read_checkpoint
from drip_lightning.lit.stage import load
from drip_lightning.nn.noise_schedule import NoiseSchedule
from tests.runs import CONFIGS, tiny_arguments

PAGE = CONFIGS.parent / "docs" / "extending.md"


@pytest.fixture(scope="module")
def mylab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page's files in a working directory, where `drip` finds them."""
    place = tmp_path_factory.mktemp("work")
    for path, text in re.findall(r"```(?:python|yaml)\n# (mylab/\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        (place / path).parent.mkdir(exist_ok=True)
        (place / path).write_text(text)
    (place / "mylab" / "__init__.py").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(sys, "path", [*sys.path])
        yield place
    for name in [name for name in sys.modules if name.partition(".")[0] == "mylab"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def denoiser(mylab: Path, synth: Path, runs: Path) -> Path:
    """A denoiser of the page's classes, on data degraded and watched by the page's classes."""
    (mylab / "runs").mkdir()
    (mylab / "runs" / "autoencoder").symlink_to(runs / "autoencoder")
    more = [f"--config=mylab/{name}.yaml" for name in ("denoiser", "data", "callback")]
    assert command.run(tiny_arguments("denoiser", synth, Path("runs"), *more)) == 0
    return Path("runs/denoiser")


def test_a_denoiser_of_one_s_own_parts_is_trained_stored_and_loaded(denoiser: Path) -> None:
    described = read_checkpoint(newest_checkpoint(denoiser))["drip"]["init_args"]
    names = ("switcher", "attention", "noise", "noise_schedule", "objective")
    assert {name: described[name]["class_path"] for name in names} == {
        "switcher": "mylab.switcher.Scaled",
        "attention": "mylab.attention.Sharpened",
        "noise": "mylab.noise.Offset",
        "noise_schedule": "mylab.schedule.Shifted",
        "objective": "mylab.objective.Weighted",
    }
    assert described["switcher"]["init_args"]["scale"] == 2.0
    assert described["noise"]["init_args"] == {"weight": 0.2}
    assert described["noise_schedule"]["init_args"]["solver"] == {"class_path": "mylab.solver.UniPC", "init_args": {}}
    stage = load(denoiser)
    assert stage.attention.temperature == 0.5
    plain = NoiseSchedule(prediction_type="v_prediction").alphas_cumprod()
    ratio = stage.alphas_cumprod / (1 - stage.alphas_cumprod)
    torch.testing.assert_close(ratio, plain / (1 - plain) / 9, rtol=1e-3, atol=1e-4)
    groups = read_checkpoint(newest_checkpoint(denoiser))["optimizer_states"][0]["param_groups"]
    assert groups[1]["initial_lr"] == 0.5 * groups[0]["initial_lr"]
    assert len(groups[1]["params"]) % 5 == 0  # query, key, value, output and its bias of each layer
    assert len(Path("mine.txt").read_text().splitlines()) == 2  # the callback's, a line a step


@pytest.mark.slow
def test_its_schedule_and_solver_sample_and_are_exported(mylab: Path, denoiser: Path, synth: Path) -> None:
    stage = load(denoiser)
    solver = stage.pipeline.sampler().schedule.solver_for(4)
    assert type(solver).__name__ == "UniPCMultistepScheduler"
    torch.testing.assert_close(solver.alphas_cumprod, stage.alphas_cumprod)
    assert command.run(["export", str(denoiser), "exports/own"]) == 0
    index = json.loads(Path("exports/own/model_index.json").read_text())
    assert index["scheduler"] == ["diffusers", type(solver).__name__]
    shards = str(synth / "evaluation")
    arguments = ["test", str(denoiser), "exports/own", "--data", shards, "--out", "same", "--limit=1"]
    code = f"import sys; from drip_lightning.cli.main import run; sys.exit(run({arguments}))"
    fresh = {**os.environ, "PYTHONPATH": str(CONFIGS.parent)}
    subprocess.run([sys.executable, "-c", code], check=True, env=fresh, stdout=subprocess.DEVNULL)
    rows = list(csv.DictReader(Path("same/per_image.csv").read_text().splitlines()))
    assert len(rows) == 2
    assert rows[0]["alpha_sad_unknown"] == rows[1]["alpha_sad_unknown"]


def test_an_augmentation_of_one_s_own_draws(mylab: Path, denoiser: Path) -> None:
    stored = yaml.safe_load((denoiser / "config.yaml").read_text())["data"]["init_args"]["augmentation"]
    assert (stored["class_path"], stored["init_args"]["upright"]) == ("mylab.augmentation.Upright", 1.0)
    upright = importlib.import_module("mylab.augmentation").Upright()
    drawn = [(upright.draw(0, number), Augmentation().draw(0, number)) for number in range(20)]
    assert 3 < sum(own.foreground.rotation == 0 for own, _ in drawn) < 17
    assert all(own.background == other.background for own, other in drawn)
    assert all(own.foreground.scale == other.foreground.scale for own, other in drawn)


@pytest.mark.slow
def test_a_data_module_of_one_s_own_is_trained_with_and_stored(
    mylab: Path, synth: Path, denoiser: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its settings are what comes after it: those before went with the class that it replaces."""
    module = "--config=mylab/module.yaml"
    arguments = tiny_arguments("denoiser", synth, Path("runs"), "--trainer.default_root_dir=night", module)
    data = [word for word in arguments if word.startswith("--data.")]
    cli = run([*arguments, *data])
    assert type(cli.datamodule).__name__ == "Night"
    plain = MattingDataModule(*(str(synth / one) for one in ("foregrounds", "backgrounds")), image_size=32)
    own, other = (one.samples((0, 1)) for one in (cli.datamodule, plain))
    assert torch.equal(own["image"], 0.25 * other["image"])
    assert torch.equal(own["alpha"], other["alpha"])
    stored = yaml.safe_load(Path("night/config.yaml").read_text())["data"]
    assert (stored["class_path"], stored["init_args"]["light"]) == ("mylab.module.Night", 0.25)
    assert command.run(["test", "night", "--limit=1", "--steps=1"]) == 0  # on its own evaluation shards
    assert command.run(["data", "show", "--config=night/config.yaml", "--out=night.png"]) == 0
    for wrong, said in (("light_=1", "Option 'light_' is not accepted"), ("backgrounds=null", "backgrounds")):
        assert command.run([*arguments, *data, f"--data.{wrong}"]) == 1
        assert said in capsys.readouterr().err


def test_a_decoder_and_a_loss_of_one_s_own_on_top_of_it(mylab: Path, synth: Path, denoiser: Path) -> None:
    cli = run(tiny_arguments("transparency", synth, Path("runs"), "--config=mylab/transparency.yaml"))
    assert type(cli.model.loss).__name__ == "Composited"
    assert cli.model.loss.composite == 0.5
    assert "train/composite" in cli.trainer.callback_metrics
    assert type(load("runs/transparency").latent_decoder).__name__ == "AffineDecoderModule"


def test_a_degradation_of_one_s_own_is_applied(mylab: Path, synth: Path, denoiser: Path) -> None:
    module = importlib.import_module("mylab.degradation")
    picture = importlib.import_module("torch").arange(256).reshape(1, 16, 16).byte()
    assert module._keep(picture, bits=4).unique().tolist() == list(range(0, 256, 16))
    assert "mylab.degradation.Posterise" in (denoiser / "config.yaml").read_text()


def test_a_source_of_one_s_own_is_trained_on(mylab: Path, synth: Path, runs: Path) -> None:
    importlib.import_module("mylab.source").write(Path("squares"), count=8)
    assert len(ShardFolder("squares")) == 8
    assert command.run(["data", "check", "squares"]) == 0
    arguments = tiny_arguments("autoencoder", synth, Path("runs/squares"), "--data.foregrounds=squares")
    run(arguments)
    assert newest_checkpoint(Path("runs/squares/autoencoder")).is_file()


def test_a_method_of_one_s_own_stands_in_the_table(
    mylab: Path, synth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(synth / "evaluation")]
    assert command.run(["test", "mylab.method.Half", "trimap", *data, "--out", "results"]) == 0
    rows = list(csv.DictReader(Path("results/per_image.csv").read_text().splitlines()))
    scores = {name: [row["alpha_mse_unknown"] for row in rows if row["row"] == name] for name in ("half", "trimap")}
    assert scores["half"]
    for half, trimap in zip(scores["half"], scores["trimap"], strict=True):
        assert float(half) == pytest.approx(float(trimap), rel=0.05)  # 128 / 255 is not quite a half
    for word, complaint in (("mylab.method.Whole", "cannot be imported"), ("mylab.method.Sequence", "is no Method")):
        assert command.run(["test", word, *data, "--out", "none"]) == 1
        assert complaint in capsys.readouterr().err
