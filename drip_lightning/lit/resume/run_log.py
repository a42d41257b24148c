"""TensorBoard's files as part of a run's state: a resumed run cuts them back to where its checkpoint was."""

import os
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

_EVENTS = "events.out.tfevents.*"


def log_lengths(trainer: Trainer) -> dict[str, int]:
    """Write out all that was logged; bytes in each file of events, by its name."""
    lengths = {}
    for logger in _loggers(trainer):
        logger.experiment.flush()
        for file in Path(logger.log_dir).glob(_EVENTS):
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
                lengths[file.name] = stream.seek(0, os.SEEK_END)
    return lengths


def cut_log_back(trainer: Trainer, lengths: dict[str, int]) -> None:
    """Remove what a run logged after the checkpoint that it is resumed from, and will log again: no step comes twice.

    Args:
        trainer: Whose loggers' folders are meant; what it writes itself stays.
        lengths: As `log_lengths` had them at the checkpoint; empty for a run that starts afresh.
    """
    for logger in _loggers(trainer):
        own = Path(logger.experiment.file_writer.event_writer._file_name).name
        for file in Path(logger.log_dir).glob(_EVENTS):
            if file.name in lengths:
                os.truncate(file, min(lengths[file.name], file.stat().st_size))
            elif file.name != own:
                file.unlink()


def _loggers(trainer: Trainer) -> list[TensorBoardLogger]:
    """The loggers that write here: those of the first rank."""
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero]
