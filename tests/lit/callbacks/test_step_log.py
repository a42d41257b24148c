import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from drip_lightning.cli.fit import run
from drip_lightning.lit.callbacks.step_log import PhaseClock, StepLog
from drip_lightning.lit.resume.checkpoint_io import CheckpointFiles
from drip_lightning.lit.resume.checkpoints import Checkpoints
from tests.runs import tiny_arguments

DATA, STEP, VALIDATION, CHECKPOINT = 0.03, 0.05, 0.2, 0.3
"""Seconds that each phase sleeps."""


class _Slow(LightningModule):
    """Its gradient in step n is n * (3, 4), whose norm is 5n."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2))

    def training_step(self, batch: dict[str, Any], batch_index: int) -> Tensor:
        time.sleep(STEP)
        return (self.global_step + 1) * (self.weight * torch.tensor([3.0, 4.0])).sum()

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> None:
        time.sleep(VALIDATION)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=8.0)
        halved = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": halved, "interval": "step"}}


class _SlowBatches:
    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            time.sleep(DATA)
            yield {"number": [0, 1, 2]}


class _SlowFiles(CheckpointFiles):
    def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        time.sleep(CHECKPOINT)
        super().save_checkpoint(*args, **kwargs)


def _scalars(folder: Path) -> dict[str, dict[int, float]]:
    events = EventAccumulator(str(folder)).Reload()
    return {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def test_each_phase_is_logged_with_its_seconds_and_each_step_with_its_gradient_and_rate(tmp_path: Path) -> None:
    clock = PhaseClock()
    trainer = Trainer(
        accelerator="cpu",
        max_steps=6,
        max_epochs=-1,
        accumulate_grad_batches=2,
        log_every_n_steps=2,
        val_check_interval=8,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        logger=TensorBoardLogger(tmp_path, name="", version=""),
        callbacks=[StepLog(clock), Checkpoints(str(tmp_path / "checkpoints"), every_n_train_steps=3)],
        plugins=[_SlowFiles()],
        profiler=clock,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(_Slow(), _SlowBatches(), [{"number": [0]}])
    found = _scalars(tmp_path)
    logged = [1, 3, 5]  # Lightning counts steps from 0
    # the mean of two accumulated batches has the gradient of each
    assert found["optimizer/gradient_norm"] == pytest.approx({step: 5.0 * (step + 1) for step in logged})
    assert found["optimizer/learning_rate"] == pytest.approx({step: 8 * 0.5**step for step in logged})

    data, step, speed = (found[tag] for tag in ("seconds/data", "seconds/step", "speed/samples_per_second"))
    for place in logged:
        assert 2 * STEP <= step[place] < 2 * STEP + VALIDATION
        assert 2 * DATA <= data[place] < 2 * DATA + VALIDATION
        assert speed[place] == pytest.approx(2 * 3 / (step[place] + data[place]), rel=1e-4)
        assert 0.05 < found["memory/process_peak_gib"][place] < 100
    (validation,) = found["seconds/validation"].values()
    assert VALIDATION <= validation < VALIDATION + CHECKPOINT
    assert all(seconds >= CHECKPOINT for seconds in found["seconds/checkpoint"].values())
    assert found["seconds/checkpoint"]


def test_drip_logs_it(synth: Path, runs: Path, tmp_path: Path) -> None:
    more = ("--trainer.log_every_n_steps=1", f"--trainer.default_root_dir={tmp_path}")
    run(tiny_arguments("denoiser", synth, runs, *more))
    found = _scalars(tmp_path / "tensorboard")
    assert found["optimizer/learning_rate"] == pytest.approx({0: 2e-3, 1: 2e-3 * (1 - 0.95 / 220)})
    assert all(0 < norm < 1e3 for norm in found["optimizer/gradient_norm"].values())
    for tag in ("seconds/step", "seconds/data", "speed/samples_per_second", "memory/process_peak_gib", "train/loss"):
        assert set(found[tag]) == {0, 1}, tag
    assert len(found["seconds/validation"]) == 1


def test_every_0_steps_is_never(synth: Path, tmp_path: Path) -> None:
    cli = run(tiny_arguments("autoencoder", synth, tmp_path, "--trainer.log_every_n_steps=0"))
    assert cli.trainer.global_step == 2
    logged = _scalars(tmp_path / "autoencoder" / "tensorboard")
    assert not [tag for tag in logged if tag.startswith(("train/", "optimizer/", "speed/"))]
