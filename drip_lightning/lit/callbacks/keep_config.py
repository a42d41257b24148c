"""Stores a run's resolved configuration, and beside it what else made the run."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from torch.utils.tensorboard.summary import hparams

from drip_lightning.files import write_text_whole
from drip_lightning.lit.provenance import note_start


class KeepConfig(SaveConfigCallback):
    """Stores the resolved configuration as `config.yaml` in the run folder, and beside it what else made the run.

    A run in a folder that has one keeps it if it is the same, and stores its own beside it, numbered, if it differs.
    The run's loggers get it as hyperparameters.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Store nothing yet: whether the configuration is one is known when its networks are built."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Store the configuration before training begins; other verbs, and a trial of one batch, store none."""
        if trainer.fast_dev_run or not trainer.is_global_zero:  # type: ignore[attr-defined]
            return
        config = self.config.clone()
        config.ckpt_path = None  # where a run is resumed from is not part of what it is
        text = self.parser.dump(config, skip_none=False)
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        path, number = folder / "config.yaml", 1
        while path.exists() and path.read_text() != text:
            number += 1
            path = folder / f"config-{number}.yaml"
        write_text_whole(path, text)
        for logger in trainer.loggers:
            log_configuration(logger, yaml.safe_load(text))
        note_start(trainer, folder, config=path.name, checkpoint=self.config.ckpt_path)


def log_configuration(logger: Logger, config: Mapping[str, Any]) -> None:
    """Hand a configuration to a logger as hyperparameters.

    Lightning's TensorBoard logger shows them only beside a score that is known at the start; without one, TensorBoard
    shows them beside all that the run logs.
    """
    logger.log_hyperparams(dict(config))
    if isinstance(logger, TensorBoardLogger):
        _, session_start, _ = hparams(dict(_flat(config)), {})
        logger.experiment.file_writer.add_summary(session_start)


def _flat(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, bool | int | float | str]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value if isinstance(value, bool | int | float | str) else str(value)
