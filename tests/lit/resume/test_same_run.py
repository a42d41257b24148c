"""A run is resumed as the model, and by the training, that its checkpoint describes."""

from pathlib import Path

import pytest

import drip_lightning.cli.main as command
from drip_lightning.lit.resume.checkpoint_io import newest_checkpoint, read_checkpoint
from tests.runs import tiny_arguments

EMA = '--model.init_args.averaging={"class_path": "EMA", "init_args": {"decay": 0.9}}'
LOSS = '--model.init_args.loss={"class_path": "MattingLoss", "init_args": {"l1": 2.0}}'


@pytest.mark.parametrize(
    ("stage", "change", "complaint"),
    [
        ("autoencoder", EMA, "averaging NoAveraging, configured EMA"),
        ("transparency", LOSS, "loss.l1 1.0, configured 2.0"),
        ("denoiser", "--model.noise.discount=0.5", "noise.discount 0.9, configured 0.5"),
    ],
)
def test_what_makes_another_model_is_refused_by_name(
    synth: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], stage: str, change: str, complaint: str
) -> None:
    file = newest_checkpoint(runs / stage)
    own = (change, f"--ckpt_path={file}", f"--trainer.default_root_dir={tmp_path}", "--trainer.max_steps=3")
    assert command.run(tiny_arguments(stage, synth, runs, *own)) == 1
    assert f"{file} is of another model: {complaint}; give the configuration" in capsys.readouterr().err


def test_a_checkpoint_tells_what_training_makes_of_its_stage(runs: Path) -> None:
    """Beside the description of the stage, which is loaded without the loss."""
    checkpoint = read_checkpoint(newest_checkpoint(runs / "transparency"))
    assert checkpoint["training"]["averaging"]["class_path"] == "NoAveraging"
    assert checkpoint["training"]["loss"]["init_args"]["laplacian"] == 1.0
    assert not {"averaging", "loss"} & checkpoint["drip"]["init_args"].keys()
