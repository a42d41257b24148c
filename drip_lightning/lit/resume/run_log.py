"""TensorBoard's files as part of a run's state: a resumed run cuts them back to where its checkpoint was."""

import os
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from drip_lightning.files import write_text_whole
from drip_lightning.lit.resume.checkpoint_io import checkpoints_in

_EVENTS = "events.out.tfevents.*"
_NOTE = "event_files.txt"


def log_lengths(trainer: Trainer, folder: Path) -> dict[str, int]:
    """Write out all that was logged; bytes in each of the run's files of events, by its name.

    Args:
        trainer: Whose loggers' folders are meant.
        folder: The run's checkpoints', where `cut_log_back` noted which files are the run's.
    """
    lengths = {}
    for logger in _loggers(trainer):
        logger.experiment.flush()
        for file in Path(logger.log_dir).glob(_EVENTS):
            if file.name in _noted(folder):
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
                    lengths[file.name] = stream.seek(0, os.SEEK_END)
    return lengths


def cut_log_back(trainer: Trainer, folder: Path, lengths: dict[str, int]) -> None:
    """Remove what a run logged after the checkpoint that it is resumed from, and will log again: no step comes twice.

    Other runs may log to the same folder: a run's own files are noted beside its checkpoints, and no other is touched.

    Args:
        trainer: Whose loggers' folders are meant; what it writes itself stays.
        folder: The run's checkpoints'.
        lengths: As `log_lengths` had them at the checkpoint; empty for a run that starts afresh.
    """
    own, written = _noted(folder), set()
    if not own and checkpoints_in(folder):  # an earlier version's run, which noted nothing
        own = set(lengths)
    for logger in _loggers(trainer):
        written.add(Path(logger.experiment.file_writer.event_writer._file_name).name)
        for file in Path(logger.log_dir).glob(_EVENTS):
            if file.name in own.intersection(lengths):
                os.truncate(file, min(lengths[file.name], file.stat().st_size))
            elif file.name in own - written:
                file.unlink()
    if written:
        folder.mkdir(parents=True, exist_ok=True)
        write_text_whole(folder / _NOTE, "".join(f"{name}\n" for name in sorted(own | written)))


def _noted(folder: Path) -> set[str]:
    note = folder / _NOTE
    return set(note.read_text().splitlines()) if note.exists() else set()


def _loggers(trainer: Trainer) -> list[TensorBoardLogger]:
    """The loggers that write here: those of the first rank."""
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero]
