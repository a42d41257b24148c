"""The progress bar of a run."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from rich.progress import Progress, TaskID

from drip_lightning.lit.callbacks.step_log import is_logged
from drip_lightning.nn.sampler import Progress as PartsProgress
from drip_lightning.nn.sampler import no_progress


class RunProgressBar(RichProgressBar):
    """Lightning's progress bar, of the run's optimizer steps: an epoch has no end, and batches may be accumulated.

    It shows the loss of the last logged step: to show every step's, the host would wait for the GPU at each. A bar
    beneath shows how far the picture at hand is, which may take minutes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loss: dict[str, str] = {}
        self._parts: tuple[Progress, TaskID] | None = None

    def tell_parts(self, done: int, total: int) -> None:
        """Show how many parts of one picture's work are done."""
        if self.progress is None or self.is_disabled:
            return
        if self._parts is None or self._parts[0] is not self.progress:  # Lightning makes another when it resumes
            self._parts = self.progress, self.progress.add_task("parts of a picture", total=total)
        self.progress.update(self._parts[1], completed=done, total=total, visible=True)
        self.refresh()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Training goes on without that bar."""
        super().on_validation_end(trainer, pl_module)
        if self._parts is not None and self._parts[0] is self.progress:
            self.progress.update(self._parts[1], visible=False)

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


def parts_told(trainer: Trainer) -> PartsProgress:
    """What tells a trainer's bar how many parts of a picture's work are done, and of how many; without one, nobody."""
    bar = trainer.progress_bar_callback
    return bar.tell_parts if isinstance(bar, RunProgressBar) else no_progress
