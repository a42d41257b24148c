"""The best checkpoint by a score of the validation, kept beside the newest ones."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_warn

from drip_lightning.errors import InputError, RunError, raised_as
from drip_lightning.files import link_or_copy, whole_file
from drip_lightning.lit.resume.checkpoint_io import BEST, PARTIAL, checkpoints_in, step_of


@dataclass(frozen=True)
class BestBy:
    """What the best checkpoint is best by.

    Attributes:
        score: Its name in the log, such as `val/alpha_sad_unknown`.
        mode: Whether the least or the greatest is the best.
    """

    score: str
    mode: Literal["min", "max"] = "min"


class BestCheckpoint:
    """Gives the checkpoint before a validation a second name in `best`, if its score is better than all before.

    The newest file there is the best. One that was the best earlier stays as long as the run could still be resumed
    from before it was surpassed: a resumed run thus finds what it had.

    Args:
        by: The score; none keeps no best one.
        folder: Of the run's checkpoints.
    """

    def __init__(self, by: BestBy | None, folder: Path) -> None:
        self._by = by
        self._folder = folder / BEST
        self.found: dict[str, Any] | None = None
        """The best so far: `score`, `mode`, `value` and `step`, as a checkpoint holds it."""

    def resume(self, found: dict[str, Any] | None, trainer: Trainer) -> None:
        """Take up what a checkpoint tells; forget what came after it, and what was best by another score.

        Raises:
            InputError: nothing is validated in this run.
        """
        if trainer.is_global_zero:
            for file in checkpoints_in(self._folder):
                if step_of(file) > trainer.global_step:
                    file.unlink()
        if self._by is None:
            return
        if not any(trainer.num_val_batches):
            raise InputError(f"checkpoint.best: there is no {self._by.score}, for this run validates nothing")
        if found is not None and found.items() >= asdict(self._by).items():
            self.found = found

    def consider(self, saved: Path | None, trainer: Trainer) -> None:
        """Keep a checkpoint if its validation, which just ended, was the best.

        Args:
            saved: The checkpoint of the weights that were validated.
            trainer: Knows their scores, the same on every rank.

        Raises:
            InputError: there is no such score, or nothing was saved because a step was only half accumulated.
            RunError: the disk does not take it.
        """
        if self._by is None:
            return
        scores = trainer.callback_metrics
        if self._by.score not in scores:
            known = ", ".join(sorted(name for name in scores if name.startswith("val/")))
            raise InputError(f"checkpoint.best.score: there is no {self._by.score}; validation gives {known}")
        if saved is None:
            raise InputError(
                "checkpoint.best: validation came within an accumulated step, which is not saved: make "
                f"trainer.val_check_interval a multiple of {trainer.accumulate_grad_batches}"
            )
        value = float(scores[self._by.score])
        if not math.isfinite(value) or (self.found is not None and not self._is_better(value, self.found["value"])):
            return
        self.found = {**asdict(self._by), "value": value, "step": step_of(saved)}
        if trainer.is_global_zero:
            self._folder.mkdir(exist_ok=True)
            file = self._folder / saved.name
            with (
                raised_as(RunError, OSError, message=lambda reason: f"cannot write checkpoint {file}: {reason}"),
                whole_file(file, partial=file.with_name(file.name + PARTIAL)) as partial,
            ):
                link_or_copy(saved, partial)

    def prune(self, oldest: int) -> None:
        """Remove those that were surpassed before the oldest checkpoint from which the run could be resumed.

        Args:
            oldest: That one's step; a validation may still be due there.
        """
        before = [file for file in checkpoints_in(self._folder) if step_of(file) < oldest]
        for file in before[1:]:
            file.unlink()

    def warn_if_none(self) -> None:
        """Say so at a run's end, if it has none."""
        if self._by is not None and self.found is None:
            rank_zero_warn(f"there is no best checkpoint: no validation gave a finite {self._by.score}")

    def _is_better(self, value: float, than: float) -> bool:
        assert self._by is not None
        return value < than if self._by.mode == "min" else value > than
