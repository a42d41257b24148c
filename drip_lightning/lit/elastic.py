"""What lets a run go on with other ranks, workers or accumulated batches than it began with."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class CountBatchesAnew(Callback):
    """Makes Lightning's count of batches fit the steps taken, when training begins.

    Lightning counts batches, steps the optimizer whenever `accumulate_grad_batches` divides the count, and restores
    the count from the checkpoint. With another number of accumulated batches, or after a run that broke off between
    two of them, the first step would be made of fewer.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the restored count to whole steps; a count that fits stays as it is."""
        if trainer.num_training_batches != float("inf"):  # epochs of a set length may end in shorter steps
            return
        progress: Any = trainer.fit_loop.epoch_loop.batch_progress
        missing = trainer.global_step * trainer.accumulate_grad_batches - progress.total.processed
        for counts in (progress.total, progress.current):
            at_batch_end = counts.completed == counts.processed - 1  # where a regular checkpoint is written
            counts.ready = counts.started = counts.processed = max(0, counts.processed + missing)
            counts.completed = counts.processed - at_batch_end
