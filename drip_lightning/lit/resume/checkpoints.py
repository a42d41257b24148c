"""When a run is saved, how it stops, and how it resumes as if it had never stopped."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, Timer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch.optim import Optimizer

from drip_lightning.errors import InputError, Stopped
from drip_lightning.lit.resume.best import BestBy, BestCheckpoint
from drip_lightning.lit.resume.checkpoint_io import checkpoint_name, checkpoints_in, remove_partial_files, step_of
from drip_lightning.lit.resume.optimizer import resume_optimizer
from drip_lightning.lit.resume.position import (
    is_step_over,
    is_step_taken,
    let_one_more_step_begin,
    resume_after,
    validate_now,
)
from drip_lightning.lit.resume.random_state import collect_random_state, restore_random_state
from drip_lightning.lit.resume.run_log import cut_log_back, log_lengths
from drip_lightning.lit.resume.signals import StopSignals


@dataclass(frozen=True)
class _SavePoint:
    """A moment between two steps, at which a run can be saved and taken up again.

    Args:
        step: Steps taken.
        validation_due: Whether the validation that belongs to the last of them is still to come.
        random: `collect_random_state` then, of this rank; none where it is known from a checkpoint alone.
    """

    step: int
    validation_due: bool
    random: dict[str, Any] | None


class Checkpoints(Checkpoint):
    """Saves a run between two steps: regularly, before each validation, when a signal stops it, and at its end.

    A run that fails is saved, too, if nothing of the step that failed has changed it yet. What is saved is the whole
    state: weights, optimizer, schedule, random generators, place in the data, and length of the log. A run that is
    resumed from there is the run that was never stopped.
    """

    def __init__(
        self,
        dirpath: str | None = None,
        every_n_train_steps: int = 1000,
        keep: int = 2,
        best: BestBy | None = None,
        new_optimizer: bool = False,
    ) -> None:
        """Say when to save, and how much to keep.

        Args:
            dirpath: Folder of the checkpoints; `drip` sets it to `checkpoints` in the run folder.
            every_n_train_steps: Steps between two checkpoints; there is one before each validation, too.
            keep: How many of the newest stay on disk; -1 keeps all, 0 writes none.
            best: A score of the validation, whose best checkpoint stays as well, in `best` beside the others.
            new_optimizer: Whether a run that is resumed with another optimizer, schedule or setting of theirs begins
                both anew, in place of being refused; where nothing differs, it is resumed as ever.
        """
        if every_n_train_steps < 1 or keep < -1:
            raise InputError(
                "checkpoint: expected every_n_train_steps of at least 1 and keep of at least -1, got "
                f"{every_n_train_steps} and {keep}"
            )
        if best is not None and keep == 0:
            raise InputError("checkpoint.best keeps one of the checkpoints, of which checkpoint.keep 0 writes none")
        self.dirpath = dirpath
        self.every_n_train_steps = every_n_train_steps
        self.keep = keep
        self.best = best
        self.new_optimizer = new_optimizer
        self._signals = StopSignals()
        self._save_point: _SavePoint | None = None
        self._saved: _SavePoint | None = None
        self._loaded: dict[str, Any] | None = None
        self._checkpoint: dict[str, Any] | None = None
        self._touched = False
        self._saving = False
        self._max_steps = -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the folder; remove what a killed run was just writing there."""
        self.folder = Path(self.dirpath or Path(trainer.default_root_dir) / "checkpoints")
        self._best = BestCheckpoint(self.best, self.folder)
        if stage == "fit" and trainer.is_global_zero:
            remove_partial_files(self.folder)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write down where the run is, in place of Lightning's counters."""
        point = self._save_point if self._saving and self._save_point else _save_point(trainer, validation_due=False)
        checkpoint["run"] = {
            "step": point.step,
            "validation_due": point.validation_due,
            "random": _of_every_rank(trainer, point.random),
            "log": log_lengths(trainer, self.folder),
            "best": self._best.found,
        }
        checkpoint["epoch"] = 0  # the training stream has no end
        del checkpoint["loops"]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Resume where the checkpoint was written; one of format 1 knows the step alone."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        plain = {"step": checkpoint["global_step"], "validation_due": False, "random": [], "log": {}}
        self._loaded = {**plain, **checkpoint.get("run", {})}
        checkpoint.pop("loops", None)
        resume_after(trainer, self._loaded["step"])
        self._checkpoint = checkpoint
        if trainer.strategy.restore_checkpoint_after_setup:  # its optimizer is there already, and loaded
            self.on_fit_start(trainer, pl_module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Between the making of the optimizer and its loading: see whether it is the same."""
        if self._loaded is None or self._checkpoint is None:
            return
        resume_optimizer(trainer, self._checkpoint, anew=self.new_optimizer)
        self._checkpoint = None
        self._max_steps = trainer.max_steps
        if self._loaded["validation_due"]:
            let_one_more_step_begin(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Watch for signals; bring random generators and log to where the checkpoint had them; validate if due."""
        self._signals.install(trainer)
        loaded = self._loaded or {"step": 0, "validation_due": False, "log": {}}
        cut_log_back(trainer, self.folder, loaded["log"])
        self._best.resume(loaded.get("best"), trainer)
        if (self.folder / checkpoint_name(loaded["step"])).exists():
            self._saved = _SavePoint(loaded["step"], loaded["validation_due"], random=None)
        if loaded["validation_due"]:
            validate_now(trainer, max_steps=self._max_steps)
        else:
            self._restore_random_state(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Between two steps: save if it is time, stop if a signal says so."""
        if batch_idx % trainer.accumulate_grad_batches:
            return
        self._touched = False
        self._save_point = _save_point(trainer, validation_due=False)
        stop = self._signals.agreed(trainer)
        is_time = stop or self._save_point.step % self.every_n_train_steps == 0
        if is_time and not self._is_saved(trainer, validated=bool(stop)):
            self._save(trainer)
        self._stop_if(stop, trainer)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """From here on the step changes weights."""
        self._touched = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """From here on an accumulating step is half done."""
        self._touched = True

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before a validation within training: it takes long, and is where memory runs out."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        self._restore_random_state(trainer)  # if due: only now, for Lightning drew a number when it opened the data
        if is_step_taken(trainer) and not self._is_saved(trainer):  # and no batch of the next is accumulated
            self._save_point = _save_point(trainer, validation_due=True)
            self._save(trainer)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Leave a validation when a signal says so; several ranks, whose shares may differ, finish it first."""
        if trainer.state.fn == TrainerFn.FITTING and trainer.world_size == 1 and self._is_saved(trainer):
            self._stop_if(self._signals.agreed(trainer), trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what was validated if it is the best."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            file = self.folder / checkpoint_name(trainer.global_step)
            self._best.consider(file if self._is_saved(trainer) else None, trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the last step."""
        self._save_point = _save_point(trainer, validation_due=False)
        if not self._is_saved(trainer, validated=True):
            self._save(trainer)
        self._best.warn_if_none()
        self._signals.restore()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say why a resumed run was not trained: its time was up before, and nothing else tells."""
        timers = [one for one in trainer.callbacks if isinstance(one, Timer)]  # type: ignore[attr-defined]
        left = [one.time_remaining() for one in timers]
        if (
            self._loaded
            and trainer.global_step == self._loaded["step"]
            and any(one is not None and one <= 0 for one in left)
        ):
            spent = timedelta(seconds=round(max(one.time_elapsed() for one in timers)))
            rank_zero_warn(
                f"trainer.max_time was spent before this start: nothing was trained after step {trainer.global_step}; "
                f"give more than the {spent} that the run has had"
            )

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save a run that fails, if it still is between two steps; on several ranks the others may not get here."""
        self._signals.restore()
        if not isinstance(exception, Exception) or isinstance(exception, Stopped) or self._saving:
            return
        if trainer.world_size > 1 or self._save_point is None or not trainer.training or self._is_saved(trainer):
            return
        if is_step_over(trainer):  # as when the data fails
            self._save_point = _save_point(trainer, validation_due=False)
        elif self._touched:
            return
        if all(torch.isfinite(parameter).all() for parameter in pl_module.parameters()):
            self._save(trainer)
            rank_zero_info(f"saved after step {trainer.global_step}" if self._saved else "nothing to save")

    def _restore_random_state(self, trainer: Trainer) -> None:
        """Restore it once, and only on as many ranks as saved it."""
        states = self._loaded.pop("random", []) if self._loaded else []
        if len(states) == trainer.world_size:
            restore_random_state(states[trainer.global_rank])

    def _is_saved(self, trainer: Trainer, *, validated: bool = False) -> bool:
        saved = self._saved
        return saved is not None and saved.step == trainer.global_step and not (validated and saved.validation_due)

    def _save(self, trainer: Trainer) -> None:
        trains = any(weight.requires_grad for weight in trainer.lightning_module.parameters())
        is_trial: bool = trainer.fast_dev_run  # type: ignore[attr-defined]
        if is_trial or self.keep == 0 or (trainer.global_step == 0 and trains):
            return  # a stage that only tells what it is has no steps, and is saved
        self._saving = True
        trainer.save_checkpoint(self.folder / checkpoint_name(trainer.global_step), weights_only=False)
        self._saving = False
        self._saved = self._save_point
        if trainer.is_global_zero and self.keep > 0:
            known = [file for file in checkpoints_in(self.folder) if 0 <= step_of(file) <= trainer.global_step]
            for file in known[self.keep :]:
                file.unlink()
            self._best.prune(oldest=step_of(known[: self.keep][-1]))

    def _stop_if(self, signal_number: int, trainer: Trainer) -> None:
        if signal_number:
            step, file = trainer.global_step, self.folder / checkpoint_name(trainer.global_step)
            saved = f"saved {file}; resume with --ckpt_path auto" if self._saved else "nothing to save"
            raise Stopped(f"stopped after step {step}: {saved}", signal_number=signal_number)


def _save_point(trainer: Trainer, *, validation_due: bool) -> _SavePoint:
    return _SavePoint(trainer.global_step, validation_due, random=collect_random_state())


def _of_every_rank(trainer: Trainer, state: Any) -> list[Any]:
    if trainer.world_size == 1:
        return [state]
    states: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(states, state)
    return states
