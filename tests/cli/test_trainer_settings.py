from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, Timer

import drip_lightning.cli.main as command
from drip_lightning.cli.fit import run
from drip_lightning.cli.trainer_settings import check_end, check_run_folder, check_trainer_settings
from drip_lightning.errors import InputError
from tests.runs import tiny_arguments

SETTINGS = {
    "precision": "32-true",
    "enable_checkpointing": None,
    "max_steps": -1,
    "max_epochs": -1,
    "max_time": None,
    "limit_train_batches": None,
    "overfit_batches": 0.0,
    "fast_dev_run": False,
    "callbacks": None,
}


@pytest.mark.parametrize("precision", [None, 32, "16", "bf16", "bf16-mixed"])
def test_mixed_precisions_may_be(precision: Any) -> None:
    check_trainer_settings(SETTINGS | {"precision": precision})


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true", 64, "transformer-engine"])
def test_weights_stay_in_float32(precision: Any) -> None:
    with pytest.raises(InputError, match=f"one of 32-true, bf16-mixed, 16-mixed, got {precision}$"):
        check_trainer_settings(SETTINGS | {"precision": precision})


@pytest.mark.parametrize("epochs", [-1, 1])
def test_a_training_without_an_end_is_refused(epochs: int) -> None:
    callbacks = [LearningRateMonitor()]
    with pytest.raises(InputError, match=r"trainer\.max_steps: -1 would never end.* give a number of steps, or"):
        check_end(SETTINGS | {"max_epochs": epochs, "callbacks": callbacks})


@pytest.mark.parametrize(
    "settings",
    [
        {"max_steps": 10},
        {"max_time": "00:01:00:00"},
        {"fast_dev_run": True},
        {"max_epochs": 1, "limit_train_batches": 10},
        {"callbacks": Timer("00:01:00:00")},
        {"callbacks": [EarlyStopping("train/loss")]},
    ],
)
def test_what_ends_may_be(settings: dict[str, Any]) -> None:
    check_end(SETTINGS | settings)


def test_a_run_folder_is_written_to_before_anything_else(tmp_path: Path) -> None:
    check_run_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").touch()
    for folder, reason in (("file", "File exists"), ("file/run", "Not a directory")):
        with pytest.raises(InputError) as caught:
            check_run_folder(tmp_path / folder)
        assert f"cannot write to the run folder {tmp_path / folder} ({reason}): give another, --tr" in str(caught.value)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("--trainer.max_steps=-1", "trainer.max_steps: -1 would never end"),
        ("--trainer.precision=bf16-true", "trainer.precision: weights stay in float32"),
        ("--trainer.enable_checkpointing=false", "is said by --checkpoint.keep 0, which writes none"),
        ("--trainer.devices=[0]", "trainer: `devices` selected with `CPUAccelerator` should be an int > 0."),
        ("--trainer.default_root_dir={0}/file", "cannot write to the run folder {0}/file"),
        (
            "--trainer.callbacks={{class_path: EarlyStopping, init_args: {{monitor: val/nothing}}}}",
            "trainer.callbacks: Early stopping conditioned on metric `val/nothing` which is not available",
        ),
        ("--seed_everything=true", "seed_everything: expected a number, got true: all draws follow it"),
    ],
)
def test_a_run_that_cannot_be_is_one_line(
    synth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, complaint: str
) -> None:
    (tmp_path / "file").touch()
    assert command.run(tiny_arguments("autoencoder", synth, tmp_path, more.format(tmp_path))) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"drip fit: {complaint.format(tmp_path)}") or said.endswith(complaint)


def test_a_single_callback_needs_no_list(synth: Path, tmp_path: Path) -> None:
    (tmp_path / "callback.yaml").write_text(
        "trainer: {callbacks: {class_path: lightning.pytorch.callbacks.LearningRateMonitor}}"
    )
    more = (f"--config={tmp_path / 'callback.yaml'}", "--trainer.log_every_n_steps=1")
    cli = run(tiny_arguments("autoencoder", synth, tmp_path, *more))
    (monitor,) = [one for one in cli.trainer.callbacks if isinstance(one, LearningRateMonitor)]
    assert monitor.lrs["lr-Adam"]
