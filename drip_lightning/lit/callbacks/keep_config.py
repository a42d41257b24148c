"""Stores a run's resolved configuration, and beside it what else made the run."""

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from drip_lightning.files import write_text_whole
from drip_lightning.lit.provenance import note_start


class KeepConfig(SaveConfigCallback):
    """Stores the resolved configuration as `config.yaml` in the run folder, and beside it what else made the run.

    A run in a folder that has one keeps it if it is the same, and stores its own beside it, numbered, if it differs.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Store the configuration before training begins; other verbs store none."""
        if stage != "fit" or not trainer.is_global_zero:
            return
        config = self.config.clone()
        config.ckpt_path = None  # where a run is resumed from is no part of what it is
        text = self.parser.dump(config, skip_none=False)
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        path, number = folder / "config.yaml", 1
        while path.exists() and path.read_text() != text:
            number += 1
            path = folder / f"config-{number}.yaml"
        write_text_whole(path, text)
        note_start(trainer, folder, config=path.name, checkpoint=self.config.ckpt_path)
