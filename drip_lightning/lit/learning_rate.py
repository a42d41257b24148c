"""Learning-rate schedules in terms of a run's length, and schedules one after another."""

import math
from collections.abc import Callable
from typing import Any, Literal

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LRSchedulerCallable
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau, SequentialLR

from drip_lightning.errors import InputError


class WarmupThenDecay(LRScheduler):
    """Rise linearly over the first steps, then decay until the run's last step, `trainer.max_steps`.

    Where a run is resumed with another length, the rest of it follows the curve of the new length.

    Args:
        optimizer: Its learning rates are the highest.
        warmup_steps: The first of so many steps has 1 / `warmup_steps` of the rate, the last all of it.
        decay: What follows: half a cosine, a straight line, or nothing.
        final_factor: What is left of the rate at the run's end.

    Raises:
        InputError: a negative number of steps, or a factor that is not in [0, 1].
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int = 0,
        decay: Literal["cosine", "linear", "constant"] = "cosine",
        final_factor: float = 0.0,
    ) -> None:
        if warmup_steps < 0 or not 0 <= final_factor <= 1:
            raise InputError(
                "lr_scheduler: expected warmup_steps of at least 0 and final_factor in [0, 1], got "
                f"{warmup_steps} and {final_factor}"
            )
        self.warmup_steps = warmup_steps
        self.decay = decay
        self.final_factor = final_factor
        self.total_steps = warmup_steps + 1
        self.begins_at = 0
        super().__init__(optimizer)

    def span(self, total_steps: int, *, begins_at: int = 0) -> None:
        """Take a run's length; the first step, for which the constructor sets the rate, does not depend on it.

        Args:
            total_steps: Of the run.
            begins_at: The run's step at which the schedule is at its first.

        Raises:
            InputError: the run has no end, or ends in the warm-up.
        """
        if total_steps - begins_at <= self.warmup_steps and self.decay != "constant":
            length = f"trainer.max_steps {total_steps}" if total_steps >= 0 else "a run without trainer.max_steps"
            begin = f" from step {begins_at} on" if begins_at else ""
            raise InputError(f"lr_scheduler: {self.warmup_steps} warmup_steps and a decay do not fit {length}{begin}")
        self.total_steps, self.begins_at = total_steps, begins_at

    def factor(self, step: int) -> float:
        """What is left of the highest rate after `step` steps."""
        if step < self.warmup_steps:
            return (step + 1) / max(self.warmup_steps, 1)  # before its turn in a chain, a schedule is at step -1
        if self.decay == "constant":
            return 1.0
        done = min((step - self.warmup_steps) / (self.total_steps - self.begins_at - self.warmup_steps), 1.0)
        left = 1 - done if self.decay == "linear" else (1 + math.cos(math.pi * done)) / 2
        return self.final_factor + (1 - self.final_factor) * left

    def get_lr(self) -> list[Any]:
        """The rate of each parameter group."""
        return [base * self.factor(self.last_epoch) for base in self.base_lrs]

    def state_dict(self) -> dict[str, Any]:
        """Without the run's length, which the run itself knows."""
        return {name: value for name, value in super().state_dict().items() if name != "total_steps"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume, at once with the rate that this run's length asks for."""
        super().load_state_dict(state_dict)
        self._last_lr = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate


class OneAfterAnother(SequentialLR):
    """torch's `SequentialLR`, whose schedules a configuration can name.

    Args:
        optimizer: What they steer.
        schedules: In order.
        milestones: The steps at which the second, third, … begins.
    """

    def __init__(
        self, optimizer: Optimizer, schedules: list[Callable[[Optimizer], LRScheduler]], milestones: list[int]
    ) -> None:
        self.parts = [schedule(optimizer) for schedule in schedules]
        self.milestones = milestones
        super().__init__(optimizer, self.parts, milestones)

    def state_dict(self) -> dict[str, Any]:
        """What `SequentialLR` keeps: each schedule's state, not the schedules themselves."""
        return {name: value for name, value in super().state_dict().items() if name not in ("parts", "milestones")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume with the rate that the optimizer was saved with: a schedule whose turn it is not leaves it alone."""
        rates = [group["lr"] for group in self.optimizer.param_groups]
        super().load_state_dict(state_dict)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


def schedule_for(trainer: Trainer, optimizer: Optimizer, make: LRSchedulerCallable) -> dict[str, Any]:
    """Make a schedule, in the form that Lightning takes: one by steps, or by a score after each validation.

    Raises:
        InputError: the schedule does not fit the run's length or the optimizer, or it is not told at which score and
            step to look.
    """
    if any(group["lr"] is None for group in optimizer.param_groups):
        raise InputError(
            f"lr_scheduler: {type(optimizer).__name__} makes its own learning rate, for its lr is null; give it one, "
            "or no lr_scheduler, null"
        )
    schedule = make(optimizer)
    span_run(schedule, trainer.max_steps)
    if not isinstance(schedule, ReduceLROnPlateau):
        return {"scheduler": schedule, "interval": "step"}
    monitor, every = getattr(schedule, "monitor", None), trainer.val_check_interval
    if monitor is None:
        raise InputError(
            "lr_scheduler: torch's ReduceLROnPlateau is not told which score to look at; take "
            "lightning.pytorch.cli.ReduceLROnPlateau, with a monitor such as val/loss"
        )
    if not isinstance(every, int):
        raise InputError(f"lr_scheduler: ReduceLROnPlateau needs trainer.val_check_interval in steps, got {every}")
    return {"scheduler": schedule, "interval": "step", "frequency": every, "monitor": monitor}


def span_run(schedule: Any, total_steps: int, *, begins_at: int = 0) -> None:
    """Tell those schedules that depend on it a run's length, and at which of its steps they begin.

    Args:
        schedule: Any, or several `OneAfterAnother`.
        total_steps: Of the run.
        begins_at: The run's step at which the schedule is at its first.

    Raises:
        InputError: see `WarmupThenDecay.span`.
    """
    chained = isinstance(schedule, OneAfterAnother)
    parts = zip(schedule.parts, [0, *schedule.milestones], strict=True) if chained else [(schedule, 0)]
    for part, start in parts:
        if isinstance(part, WarmupThenDecay):
            part.span(total_steps, begins_at=begins_at + start)
