"""The LightningCLI behind `drip fit | validate | test | predict`."""

import warnings
from typing import Any, NoReturn

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger

from drip_lightning.errors import InputError
from drip_lightning.lit.autoencoder import Autoencoder
from drip_lightning.lit.callbacks import Checkpoints, KeepConfig, MattePanels
from drip_lightning.lit.datamodule import MattingDataModule
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.stage import Stage
from drip_lightning.lit.transparency import TransparencyDecoder

STAGES = (Autoencoder, Denoiser, TransparencyDecoder)
"""Imported so that a configuration may name a stage by its class's name alone."""


class OneLineArgumentParser(LightningArgumentParser):
    """Lightning's parser, whose errors are one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what is wrong as an `InputError`."""
        lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
        raise InputError(" ".join(lines)) from ex


class DripCLI(LightningCLI):
    """Stages by class, one data module, checkpoints and panels always there and settable by overlays."""

    def __init__(self, args: list[str]) -> None:
        super().__init__(
            Stage,
            MattingDataModule,
            subclass_mode_model=True,
            save_config_callback=KeepConfig,
            seed_everything_default=0,
            parser_class=OneLineArgumentParser,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            args=args,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks, and tie what must agree: one seed, one run folder."""
        parser.add_lightning_class_args(Checkpoints, "checkpoint")
        parser.add_lightning_class_args(MattePanels, "panels")
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "model.init_args.seed")
        parser.link_arguments("trainer.default_root_dir", "checkpoint.dirpath", compute_fn=_checkpoint_folder)

    def _parse_ckpt_path(self) -> None:
        """Leave the configuration as given: a checkpoint brings weights, never settings that override the user's."""

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Log to `tensorboard` in the run folder, unless the configuration names loggers."""
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
        settings = self._get(self.config_init, "trainer")
        if settings["logger"] in (None, True):
            kwargs["logger"] = TensorBoardLogger(settings["default_root_dir"] or ".", name="tensorboard", version="")
        return super().instantiate_trainer(**kwargs)


def _checkpoint_folder(default_root_dir: str | None) -> str:
    return f"{default_root_dir or '.'}/checkpoints"
