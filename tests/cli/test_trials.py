"""Trainer options for a trial, and for a run's length: what they leave, and what they say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule

import drip_lightning.cli.main as command
from drip_lightning.cli.fit import run
from drip_lightning.lit.autoencoder import Autoencoder
from tests.runs import tiny_arguments

ACCUMULATION = (
    '--trainer.callbacks=[{"class_path": "lightning.pytorch.callbacks.GradientAccumulationScheduler", '
    '"init_args": {"scheduling": {"0": 2}}}]'
)


@pytest.fixture
def numbers(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The numbers of the samples in each batch that an autoencoder is trained on."""
    seen: list[list[int]] = []
    step: Callable[..., Any] = Autoencoder.training_step

    def spy(self: LightningModule, batch: Any, batch_index: int) -> torch.Tensor:
        seen.append(list(batch["number"]))
        return step(self, batch, batch_index)

    monkeypatch.setattr(Autoencoder, "training_step", spy)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("accumulated", [1, 2])
def test_the_same_batches_are_overfitted_through_a_resume(
    synth: Path, tmp_path: Path, numbers: list[list[int]], accumulated: int
) -> None:
    """Two steps' worth of samples, again and again."""
    more = [f"--trainer.overfit_batches={2 * accumulated}", f"--trainer.accumulate_grad_batches={accumulated}"]
    for steps in (3, 5):
        more_steps = ("--trainer.val_check_interval=100", f"--trainer.max_steps={steps}", "--ckpt_path=auto")
        assert run(tiny_arguments("autoencoder", synth, tmp_path, *more, *more_steps)).trainer.global_step == steps
    two = [[0, 1], [2, 3]] if accumulated == 1 else [[0], [1], [2], [3]]
    assert numbers == (two * 3)[: 5 * accumulated]


def _complaint(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert command.run(arguments) == 1
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["--trainer.overfit_batches=0.5"], "trainer.overfit_batches: expected a number of batches, got 0.5"),
        (
            ["--trainer.overfit_batches=3", "--trainer.accumulate_grad_batches=2"],
            "trainer.overfit_batches: expected a multiple of accumulate_grad_batches 2, got 3",
        ),
        ([ACCUMULATION], "with GradientAccumulationScheduler no step would have data.batch_size samples"),
    ],
)
def test_what_an_endless_stream_cannot_do_is_refused(
    synth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], complaint: str
) -> None:
    assert complaint in _complaint(tiny_arguments("autoencoder", synth, tmp_path, *more), capsys)


def test_a_trial_of_one_batch_leaves_nothing(synth: Path, tmp_path: Path, numbers: list[list[int]]) -> None:
    cli = run(tiny_arguments("autoencoder", synth, tmp_path, "--trainer.fast_dev_run=true"))
    assert cli.trainer.global_step == len(numbers) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def _scalars(folder: Path) -> list[Path]:
    return sorted(folder.glob("events.out.tfevents.*"))


@pytest.mark.slow
def test_runs_that_log_to_one_folder_leave_each_other_s_files_alone(synth: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    own = [
        '--trainer.logger={"class_path": "lightning.pytorch.loggers.TensorBoardLogger", "init_args": '
        f'{{"save_dir": "{shared}", "name": "", "version": ""}}}}'
    ]

    def train(name: str, steps: int, *more: str) -> None:
        arguments = tiny_arguments(
            "autoencoder", synth, tmp_path / name, *own, *more, "--trainer.val_check_interval=100"
        )
        run([*arguments, f"--trainer.max_steps={steps}"])

    train("first", 2)
    (first,) = _scalars(shared)
    content = first.read_bytes()
    train("second", 2)
    assert first.read_bytes() == content
    (second,) = {*_scalars(shared)} - {first}

    checkpoint = tmp_path / "first" / "autoencoder" / "checkpoints" / "step=0000002.ckpt"
    train("third", 3, f"--ckpt_path={checkpoint}")  # from another's checkpoint: its log is the other's
    assert first.read_bytes() == content

    checkpoint.unlink()  # as if killed before it
    train("first", 1)
    assert not first.exists()
    assert second.exists()
    assert len(_scalars(shared)) == 3


@pytest.mark.slow
def test_a_run_whose_time_was_up_says_so(synth: Path, tmp_path: Path) -> None:
    def train(steps: int, time: str) -> int:
        more = ("--trainer.val_check_interval=100", "--ckpt_path=auto", f"--trainer.max_time={time}")
        cli = run(tiny_arguments("autoencoder", synth, tmp_path, *more, f"--trainer.max_steps={steps}"))
        return int(cli.trainer.global_step)

    assert train(2, "00:01:00:00") == 2
    file = tmp_path / "autoencoder" / "checkpoints" / "step=0000002.ckpt"
    checkpoint = torch.load(file, weights_only=True)
    checkpoint["callbacks"]["Timer"]["time_elapsed"]["train"] = 3600.0
    torch.save(checkpoint, file)
    told = r"max_time was spent before this start: nothing was trained after step 2; give more than the 1:00:00 that"
    with pytest.warns(UserWarning, match=told):
        assert train(4, "00:01:00:00") == 2
    assert train(4, "00:02:00:00") == 4
