from pathlib import Path

import pytest
import yaml

import drip_lightning.cli.main as command
from drip_lightning.cli.environment import with_environment
from tests.runs import CONFIGS

FILES = ("--config", "denoiser.yaml", "--config=scale/tiny.yaml")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIP_FIT__TRAINER__MAX_STEPS", "7")
    monkeypatch.setenv("DRIP_FIT__MODEL__NOISE", "GaussianNoise")
    monkeypatch.setenv("DRIP_FIT__DATA__NUM_WORKERS", "5")


def test_it_stands_between_the_configurations_and_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--data.num_workers=5", "--model.noise=GaussianNoise", "--trainer.max_steps=7"]
    assert with_environment(["fit", *FILES, "--a=1", "--config=b"]) == ["fit", *FILES, *words, "--a=1", "--config=b"]
    assert with_environment(["fit"]) == ["fit", *words]
    assert with_environment(["validate", *FILES]) == ["validate", *FILES]
    assert with_environment([]) == []
    monkeypatch.setenv("DRIP_FIT__CONFIG", "first.yaml")
    assert with_environment(["fit", *FILES]) == ["fit", "--config=first.yaml", *FILES, *words]


def test_fit_takes_it_and_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIP_FIT__CONFIG", str(CONFIGS / "denoiser.yaml"))
    with pytest.raises(SystemExit) as stop:
        command.run(["fit", "--config=scale/tiny.yaml", "--data.num_workers=3", "--print_config"])
    said = capsys.readouterr()
    config = yaml.safe_load(said.out)
    assert stop.value.code in (None, 0)
    assert config["trainer"]["max_steps"] == 7  # both files have others
    assert config["model"]["init_args"]["noise"]["class_path"] == "GaussianNoise"
    assert config["data"]["init_args"]["num_workers"] == 3
    assert "drip fit: from the environment: --config=" in said.err
    assert " --data.num_workers=5 --model.noise=GaussianNoise --trainer.max_steps=7\n" in said.err


def test_a_setting_that_there_is_not_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIP_FIT__DATA__FLAVOUR", "3")
    assert command.run(["fit", *FILES]) == 1
    assert "data: Option 'flavour' is not accepted" in capsys.readouterr().err.splitlines()[-1]


def test_a_sweep_refuses_what_would_change_its_factors(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["sweep", str(Path("sweep/noise.yaml")), "--dry-run"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("drip sweep: DRIP_FIT__DATA__NUM_WORKERS, DRIP_FIT__MODEL__NOISE, DRIP_FIT__TRAINER")
    assert "unset it" in said
