import math
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from drip_lightning.errors import InputError, Stopped
from drip_lightning.lit.resume.best import BestBy
from drip_lightning.lit.resume.checkpoint_io import (
    CheckpointFiles,
    checkpoint_to_resume_from,
    checkpoint_to_use,
    checkpoints_in,
    newest_checkpoint,
    step_of,
)
from drip_lightning.lit.resume.checkpoints import Checkpoints

SCORES = (5.0, math.nan, 3.0, 4.0, 2.0, 2.0, 2.5, -math.inf, 2.1, 2.2)
"""Of the validations after the first, second, … step: the best is that of step 5."""
BY = BestBy(score="val/score")


class _Scored(LightningModule):
    """Its only weight is the number of steps taken; a signal comes in a step."""

    def __init__(self, scores: Sequence[float] = SCORES, stop_in: int = -1) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.scores, self.stop_in = scores, stop_in

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor:
        if self.global_step + 1 == self.stop_in:
            os.kill(os.getpid(), signal.SIGTERM)
        return -self.weight

    def validation_step(self, batch: Tensor, batch_index: int) -> None:
        self.log("val/score", self.scores[self.global_step - 1])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["drip"] = {"format": 2}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def _train(
    folder: Path,
    module: _Scored | None = None,
    *,
    steps: int = 10,
    best: BestBy | None = BY,
    keep: int = 2,
    resume: bool = False,
    **trainer: Any,
) -> None:
    settings: dict[str, Any] = {"val_check_interval": 1, "check_val_every_n_epoch": None, **trainer}
    Trainer(
        accelerator="cpu",
        max_steps=steps,
        max_epochs=-1,
        num_sanity_val_steps=0,
        callbacks=[Checkpoints(str(folder), keep=keep, best=best)],
        plugins=[CheckpointFiles()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    ).fit(
        module or _Scored(),
        DataLoader(torch.zeros(100)),
        DataLoader(torch.zeros(1)),
        ckpt_path=newest_checkpoint(folder) if resume else None,
    )


def _kept(folder: Path) -> dict[str, list[int]]:
    return {
        "newest": [step_of(file) for file in checkpoints_in(folder)],
        "best": [step_of(file) for file in checkpoints_in(folder / "best")],
    }


def _found(file: Path) -> Any:
    return torch.load(file, weights_only=True)["run"]["best"]


@pytest.mark.parametrize(("mode", "step"), [("min", 5), ("max", 1)])
def test_the_best_stays_beside_the_newest(tmp_path: Path, mode: Any, step: int) -> None:
    _train(tmp_path, best=BestBy(score="val/score", mode=mode))
    assert _kept(tmp_path) == {"newest": [10, 9], "best": [step]}
    assert torch.load(checkpoint_to_use(tmp_path), weights_only=True)["state_dict"]["weight"] == step
    expected = {"score": "val/score", "mode": mode, "value": SCORES[step - 1], "step": step}
    assert _found(newest_checkpoint(tmp_path)) == expected


@pytest.mark.parametrize("stops", [(5,), (6, 7), (1, 2, 3, 4)])
def test_a_resumed_run_ends_with_the_same_best(tmp_path: Path, stops: tuple[int, ...]) -> None:
    for number, stop in enumerate(stops):
        with pytest.raises(Stopped):
            _train(tmp_path, _Scored(stop_in=stop), resume=number > 0)
    _train(tmp_path, resume=True)
    assert _kept(tmp_path) == {"newest": [10, 9], "best": [5]}
    assert _found(newest_checkpoint(tmp_path))["step"] == 5


def test_a_run_resumed_from_before_the_best_has_the_best_that_it_had_then(tmp_path: Path) -> None:
    _train(tmp_path, steps=5, keep=3)
    assert _kept(tmp_path) == {"newest": [5, 4, 3], "best": [5, 3, 1]}  # a validation is still due after step 3
    for file in checkpoints_in(tmp_path)[:2]:
        file.write_bytes(b"")
    with pytest.warns(UserWarning, match="looking for the one before it"):
        _train(tmp_path, _Scored((9.0,) * 10), steps=4, keep=3, resume=True)
    assert _kept(tmp_path)["best"] == [3, 1]
    assert _found(tmp_path / "step=0000004.ckpt") == {"score": "val/score", "mode": "min", "value": 5.0, "step": 1}


def test_another_score_begins_anew(tmp_path: Path) -> None:
    _train(tmp_path, steps=5)
    _train(tmp_path, steps=6, best=BestBy(score="val/score", mode="max"), resume=True)
    assert _found(newest_checkpoint(tmp_path)) == {"score": "val/score", "mode": "max", "value": 2.0, "step": 6}
    assert step_of(checkpoint_to_use(tmp_path)) == 6


def test_no_number_is_never_the_best(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="there is no best checkpoint: no validation gave a finite val/score"):
        _train(tmp_path, _Scored((math.nan, math.inf)), steps=2)
    assert _kept(tmp_path) == {"newest": [2, 1], "best": []}
    assert step_of(checkpoint_to_use(tmp_path)) == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"best": BestBy(score="val/scor")}, "there is no val/scor; validation gives val/score$"),
        ({"limit_val_batches": 0}, "there is no val/score, for this run validates nothing$"),
        ({"val_check_interval": 3, "accumulate_grad_batches": 2}, "trainer.val_check_interval a multiple of 2$"),
        ({"keep": 0}, "of which checkpoint.keep 0 writes none$"),
    ],
)
def test_what_can_have_no_best_is_told_in_one_line(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=rf"^checkpoint\.best[^\n]*{said}"):
        _train(tmp_path, **settings)


def test_a_best_checkpoint_alone_is_no_run_to_start_over(tmp_path: Path) -> None:
    _train(tmp_path)
    for file in checkpoints_in(tmp_path):
        file.unlink()
    with pytest.raises(InputError, match=r"step=0000005.ckpt is of a run whose other checkpoints are gone"):
        checkpoint_to_resume_from(None, tmp_path)


def test_a_second_name_survives_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the file system has no links."""

    def no_links(*_: Any) -> None:
        raise OSError

    monkeypatch.setattr(os, "link", no_links)
    _train(tmp_path)
    shutil.copy(tmp_path / "best" / "step=0000005.ckpt", tmp_path / "step=0000011.ckpt")
    assert newest_checkpoint(tmp_path) == tmp_path / "step=0000011.ckpt"  # its checksum is right
