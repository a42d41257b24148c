"""Draws mattes of validation pictures into TensorBoard."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from drip_lightning.ops.panel import matte_panel
from drip_lightning.pipeline import Matte


class MattePanels(Callback):
    """Draws the first validation pictures' mattes into TensorBoard: image, trimap, alpha, foreground, on a checker.

    Args:
        count: How many of the evaluation set's first pictures to draw, on the first rank.
    """

    def __init__(self, count: int = 4) -> None:
        self.count = count

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw a picture if the stage made a matte of it."""
        if not isinstance(outputs, Matte) or batch_idx >= self.count or not trainer.is_global_zero:
            return
        panel = matte_panel(batch["image"], batch["trimap"], outputs.alpha, outputs.foreground)[0].cpu()
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(f"val/{batch['key'][0]}", panel, trainer.global_step)
