"""What Lightning's trainer would take, and a run of these stages cannot be made with."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import EarlyStopping, Timer

from drip_lightning.cli.size_options import TRAINER_PRECISION
from drip_lightning.errors import InputError, raised_as

_PRECISIONS = (None, 32, 16, "32", "16", "bf16", *TRAINER_PRECISION.values())


def check_trainer_settings(settings: Mapping[str, Any]) -> None:
    """Refuse what would fail, or go wrong in silence.

    Args:
        settings: What the configuration says of the trainer, its callbacks made.

    Raises:
        InputError: a setting cannot be, with what to say instead.
    """
    precision = settings["precision"]
    if precision not in _PRECISIONS:
        raise InputError(
            "trainer.precision: weights stay in float32, in which small steps do not round away; expected one of "
            f"{', '.join(TRAINER_PRECISION.values())}, got {precision}"
        )
    if settings["enable_checkpointing"] is False:
        raise InputError("trainer.enable_checkpointing: false is said by --checkpoint.keep 0, which writes none")


def check_end(settings: Mapping[str, Any]) -> None:
    """Refuse a training without an end: the training stream has none, and so an epoch has none either.

    Args:
        settings: As `check_trainer_settings` takes them.

    Raises:
        InputError: nothing would end it.
    """
    limits = (settings[name] for name in ("limit_train_batches", "overfit_batches"))
    whole_epochs = settings["max_epochs"] != -1 and any(isinstance(limit, int) and limit for limit in limits)
    stops = any(isinstance(callback, EarlyStopping | Timer) for callback in as_list(settings["callbacks"]))
    if settings["max_steps"] == -1 and not (whole_epochs or stops or settings["max_time"] or settings["fast_dev_run"]):
        raise InputError(
            "trainer.max_steps: -1 would never end, for the training stream has no end, and so an epoch has none: give "
            "a number of steps, or --trainer.max_time"
        )


def check_run_folder(folder: Path) -> None:
    """Make a run's folder, and write something there.

    Raises:
        InputError: it cannot be made or written to.
    """

    def message(reason: str) -> str:
        return f"cannot write to the run folder {folder} ({reason}): give another, --trainer.default_root_dir DIR"

    with raised_as(InputError, OSError, message=message):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def as_list(value: Any) -> list[Any]:
    """What may be one, several or none, as a list."""
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]
