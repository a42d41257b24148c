from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from drip_lightning.lit.callbacks.progress import RunProgressBar


class _Seen(RunProgressBar):
    """Notes what the bar shows after each batch."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: object) -> None:
        super().on_train_batch_end(trainer, pl_module, *rest)  # type: ignore[arg-type]
        self.shown = [*getattr(self, "shown", []), (self.train_progress_bar.completed, self.train_progress_bar.total)]


def test_the_bar_counts_steps_of_the_run() -> None:
    bar = _Seen()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer = Trainer(
        accelerator="cpu", max_steps=3, max_epochs=-1, accumulate_grad_batches=2, limit_val_batches=0, callbacks=[bar],
        **quiet,
    )  # fmt: skip
    trainer.fit(BoringModel())
    assert bar.shown == [(0, 3), (1, 3), (1, 3), (2, 3), (2, 3), (3, 3)]
