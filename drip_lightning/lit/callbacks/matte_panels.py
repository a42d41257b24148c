"""Draws mattes of validation pictures into whatever logs the run."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger
from torch import Tensor

from drip_lightning.lit.scores import validation_prefix
from drip_lightning.nn.sampler import Matte
from drip_lightning.ops.panel import matte_panel
from drip_lightning.ops.picture import as_picture


class MattePanels(Callback):
    """Draws the first validation pictures' mattes into the loggers: image, trimap, alpha, foreground, on a checker.

    A logger that takes no pictures, such as CSVLogger, gets them as PNG files, in `panels` in its folder.

    Args:
        count: How many of each evaluation set's first pictures to draw, on the first rank.
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
        name = f"{validation_prefix(trainer, dataloader_idx)}/{batch['key'][0]}"
        for logger in trainer.loggers:
            folder = Path(logger.log_dir or logger.save_dir or trainer.default_root_dir)
            log_picture(logger, name, panel, step=trainer.global_step, folder=folder)


def log_picture(logger: Logger, name: str, picture: Tensor, *, step: int, folder: Path) -> None:
    """Hand a picture to a logger in the way of its kind, or write it down where there is none.

    Args:
        logger: TensorBoard's, MLflow's, one with a `log_image` as W&B's has it, or any other.
        name: Of the picture, the same at every step.
        picture: (3, H, W) in [0, 1].
        step: Steps taken.
        folder: Whose `panels` takes what the logger cannot.
    """
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(name, picture, step)
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_image(logger.run_id, as_picture(picture), key=name, step=step)
    elif hasattr(logger, "log_image"):
        logger.log_image(key=name, images=[as_picture(picture)], step=step)
    else:
        file = folder / "panels" / f"{name.replace('/', '_')}-step={step:07d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        as_picture(picture).save(file)
