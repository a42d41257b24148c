from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from drip_lightning.lit.callbacks.progress import RunProgressBar, parts_told
from drip_lightning.lit.datamodule import MattingDataModule
from drip_lightning.lit.matting import MattingStage

QUIET = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_model_summary": False}


class _Seen(RunProgressBar):
    """Notes what the bar shows after each batch."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: object) -> None:
        super().on_train_batch_end(trainer, pl_module, *rest)  # type: ignore[arg-type]
        self.shown = [*getattr(self, "shown", []), (self.train_progress_bar.completed, self.train_progress_bar.total)]


def test_the_bar_counts_steps_of_the_run() -> None:
    bar = _Seen()
    trainer = Trainer(
        max_steps=3, max_epochs=-1, accumulate_grad_batches=2, limit_val_batches=0, callbacks=[bar], **QUIET
    )  # fmt: skip
    trainer.fit(BoringModel())
    assert bar.shown == [(0, 3), (1, 3), (1, 3), (2, 3), (2, 3), (3, 3)]


class _OfParts(BoringModel):
    """Validates on pictures of forty parts."""

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:  # type: ignore[override]
        parts_told(self.trainer)(3 + batch_idx, 40)
        self.seen = [*getattr(self, "seen", []), self.shown()]

    def shown(self) -> tuple[float, float | None, bool]:
        """Of the one bar for them all."""
        (bar,) = [one for one in self.trainer.progress_bar_callback.progress.tasks if "parts" in one.description]  # type: ignore[union-attr]
        return bar.completed, bar.total, bar.visible


def test_a_picture_s_parts_have_a_bar_until_validation_ends() -> None:
    trainer = Trainer(
        max_steps=1, limit_train_batches=1, limit_val_batches=2, num_sanity_val_steps=0, callbacks=[RunProgressBar()],
        **QUIET,
    )  # fmt: skip
    module = _OfParts()
    trainer.fit(module)
    assert module.seen == [(3, 40, True), (4, 40, True)]
    assert not module.shown()[2]
    trainer.validate(module, verbose=False)  # with Lightning's next bars
    assert module.seen[2:] == [(3, 40, True), (4, 40, True)]


def test_without_this_bar_nobody_is_told() -> None:
    parts_told(Trainer(enable_progress_bar=False, **QUIET))(1, 2)
    parts_told(Trainer(**QUIET))(1, 2)


def test_validation_and_prediction_tell_how_far_a_picture_is(
    synth: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(RunProgressBar, "tell_parts", lambda bar, done, total: told.append((done, total)))
    data = MattingDataModule(*(str(synth / split) for split in ("foregrounds", "backgrounds", "evaluation")))
    data.num_workers = 0
    stage = MattingStage.from_checkpoint(runs / "denoiser", sampling_steps=2)
    trainer = Trainer(limit_val_batches=1, limit_predict_batches=1, callbacks=[RunProgressBar()], **QUIET)
    trainer.validate(stage, data, verbose=False)
    validated = list(told)
    trainer.predict(stage, data)
    assert validated == [(part, 5) for part in range(1, 6)]  # encoded, two steps, both decoders
    assert told == 2 * validated
