"""What watches a run: its progress bar, the stored configuration, and panels of mattes in TensorBoard."""

import os
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger

from drip_lightning.lit.provenance import note_start
from drip_lightning.lit.step_log import is_logged
from drip_lightning.ops.panel import matte_panel
from drip_lightning.pipeline import Matte


class Progress(RichProgressBar):
    """Lightning's progress bar, without the number of an epoch that has no end.

    It shows the loss of the last logged step: to show every step's, the host would wait for the GPU at each.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loss: dict[str, str] = {}

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """What stands beside the bar."""
        loss = trainer.callback_metrics.get("train/loss") if trainer.training else None
        if loss is not None and is_logged(trainer.global_step, trainer):
            self._loss = {"loss": f"{loss:.4f}"}
        return super().get_metrics(trainer, pl_module) | self._loss

    def _get_train_description(self, current_epoch: int) -> str:
        return "training"


class KeepConfig(SaveConfigCallback):
    """Stores the resolved configuration as `config.yaml` in the run folder, and beside it what else made the run.

    A run in a folder that has one keeps it if it is the same, and stores its own beside it, numbered, if it differs.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Store the configuration before training begins; other verbs store none."""
        if stage != "fit" or not trainer.is_global_zero:
            return
        config = self.config.clone()
        config.ckpt_path = None  # where a run goes on from is no part of what it is
        text = self.parser.dump(config, skip_none=False)
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        path, number = folder / "config.yaml", 1
        while path.exists() and path.read_text() != text:
            number += 1
            path = folder / f"config-{number}.yaml"
        partial = path.with_suffix(".partial")
        partial.write_text(text)
        os.replace(partial, path)
        note_start(trainer, folder, config=path.name, checkpoint=self.config.ckpt_path)


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
