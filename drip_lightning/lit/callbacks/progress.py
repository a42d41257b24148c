"""The progress bar of a run."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from drip_lightning.lit.callbacks.step_log import is_logged


class RunProgressBar(RichProgressBar):
    """Lightning's progress bar, of the run's optimizer steps: an epoch has no end, and batches may be accumulated.

    It shows the loss of the last logged step: to show every step's, the host would wait for the GPU at each.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loss: dict[str, str] = {}

    @property
    def total_train_batches(self) -> int | float:
        """Steps of the whole run, as far as that has an end."""
        return self.trainer.max_steps if self.trainer.max_steps >= 0 else float("inf")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show the steps taken, those before a resume among them."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, trainer.global_step - 1)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """What stands beside the bar."""
        loss = trainer.callback_metrics.get("train/loss") if trainer.training else None
        if loss is not None and is_logged(trainer.global_step, trainer):
            self._loss = {"loss": f"{loss:.4f}"}
        return super().get_metrics(trainer, pl_module) | self._loss

    def _get_train_description(self, current_epoch: int) -> str:
        return "training"
