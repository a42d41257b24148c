"""What watches a run: checkpoints, the stored configuration, and panels of mattes in TensorBoard."""

import os
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from drip_lightning.ops.panel import matte_panel
from drip_lightning.pipeline import Matte


class Checkpoints(ModelCheckpoint):
    """Keeps the newest few checkpoints, and `last.ckpt`, which points at the newest; saves at the end in any case."""

    def __init__(
        self,
        dirpath: str | None = None,
        every_n_train_steps: int = 1000,
        keep: int = 2,
        save_on_exception: bool = True,
    ) -> None:
        """Say when to save, and how much to keep.

        Args:
            dirpath: Folder of the checkpoints; `drip` sets it to `checkpoints` in the run folder.
            every_n_train_steps: Steps between two checkpoints.
            keep: How many of the newest stay on disk; -1 keeps all.
            save_on_exception: Save when the run is interrupted or fails, too.
        """
        super().__init__(
            dirpath=dirpath,
            filename="step={step:07d}",
            auto_insert_metric_name=False,
            monitor="step",
            mode="max",
            save_top_k=keep,
            save_last="link",
            every_n_train_steps=every_n_train_steps,
            save_on_exception=save_on_exception,
        )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the last step, whether or not `every_n_train_steps` divides it."""
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_now(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save where the run broke off, among those of which the newest are kept."""
        if self._should_save_on_exception(trainer):
            self._save_now(trainer)
            rank_zero_info(f"saved {self._last_checkpoint_saved}")

    def _save_now(self, trainer: Trainer) -> None:
        candidates = self._monitor_candidates(trainer)
        self._save_topk_checkpoint(trainer, candidates)
        self._save_last_checkpoint(trainer, candidates)

    def _save_last_checkpoint(self, trainer: Trainer, monitor_candidates: dict[str, Tensor]) -> None:
        # Whichever run wrote it, the link is replaced: with a last-v1.ckpt beside it, last.ckpt would point at an old
        # checkpoint, or at none once that is pruned.
        self.last_model_path = self.format_checkpoint_name(monitor_candidates, self.CHECKPOINT_NAME_LAST)
        super()._save_last_checkpoint(trainer, monitor_candidates)


class Progress(RichProgressBar):
    """Lightning's progress bar, without the number of an epoch that has no end."""

    def _get_train_description(self, current_epoch: int) -> str:
        return "training"


class KeepConfig(SaveConfigCallback):
    """Stores the resolved configuration as `config.yaml` in the run folder.

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
