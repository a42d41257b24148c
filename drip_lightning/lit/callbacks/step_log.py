"""What a run's steps cost, in its logs: seconds of each phase, speed, memory; gradient norm and learning rate."""

import resource
import time
from collections import defaultdict
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.optim import Optimizer


def is_logged(step: int, trainer: Trainer) -> bool:
    """Whether optimizer step `step`, counted from 1, is one of those whose figures are written: with 0, none."""
    every = trainer.log_every_n_steps  # type: ignore[attr-defined]
    return every > 0 and step % every == 0


_PHASES = {"run_training_batch": "step", "save_checkpoint": "checkpoint"}


class PhaseClock(Profiler):
    """Adds up the seconds of training steps and of checkpoints; everything else that Lightning names passes."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = defaultdict(float)
        self._started: dict[str, float] = {}

    def start(self, action_name: str) -> None:
        """Begin a phase."""
        if action_name in _PHASES:
            self._started[action_name] = time.perf_counter()

    def stop(self, action_name: str) -> None:
        """End a phase."""
        if action_name in self._started:
            self.seconds[_PHASES[action_name]] += time.perf_counter() - self._started.pop(action_name)


class StepLog(Callback):
    """Logs what the steps since the last logged one cost, on rank 0, every `log_every_n_steps`.

    - `seconds/step`, `seconds/data`: of one optimizer's step, and of waiting for its batches and composing them. The
      host's seconds: a GPU works on meanwhile, and what it is behind shows wherever the host next waits for it.
    - `seconds/validation`, `seconds/checkpoint`: of one validation; of all checkpoints since the last logged step.
    - `speed/samples_per_second`: of all ranks, validation and checkpoints apart.
    - `memory/process_peak_gib`, `memory/gpu_peak_gib`: of this process so far; on the GPU what torch allocated.
    - `optimizer/gradient_norm`, `optimizer/learning_rate` (the highest): of the logged step.

    Nothing waits for a GPU on the steps that are not logged.

    Args:
        clock: Has to be the trainer's profiler.
    """

    def __init__(self, clock: PhaseClock) -> None:
        self._clock = clock
        self._samples = 0
        self._steps = 0
        self._idle_since = 0.0
        self._validation_since = 0.0
        self._at_step: dict[str, float | Tensor] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for the first batch."""
        self._steps = trainer.global_step
        self._start_over()
        self._idle_since = time.perf_counter()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Stop timing the wait: the batch has come."""
        self._clock.seconds["data"] += time.perf_counter() - self._idle_since
        self._samples += len(batch["number"]) * trainer.world_size

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Keep what the step is made with; the norm stays on its device."""
        if trainer.is_global_zero and is_logged(trainer.global_step + 1, trainer):
            gradients = [
                one.grad for group in optimizer.param_groups for one in group["params"] if one.grad is not None
            ]
            self._at_step = {
                "optimizer/gradient_norm": torch.nn.utils.get_total_norm(gradients),
                "optimizer/learning_rate": max(group["lr"] for group in optimizer.param_groups),
            }

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log, if it is time; wait for the next batch."""
        steps = trainer.global_step - self._steps
        if self._at_step and steps:
            seconds = self._clock.seconds
            figures = self._at_step | {
                "seconds/step": seconds["step"] / steps,
                "seconds/data": seconds["data"] / steps,
                "speed/samples_per_second": self._samples / (seconds["step"] + seconds["data"]),
                "memory/process_peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            }
            if "checkpoint" in seconds:
                figures["seconds/checkpoint"] = seconds["checkpoint"]
            if pl_module.device.type == "cuda":
                figures["memory/gpu_peak_gib"] = torch.cuda.max_memory_allocated(pl_module.device) / 2**30
            pl_module.log_dict(figures, rank_zero_only=True)
            self._steps = trainer.global_step
            self._start_over()
        self._idle_since = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Time a validation within training."""
        self._validation_since = time.perf_counter() - self._clock.seconds.get("checkpoint", 0.0)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log how long it took, without a checkpoint saved at its start."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            ended = time.perf_counter() - self._clock.seconds.get("checkpoint", 0.0)
            pl_module.log("seconds/validation", ended - self._validation_since, rank_zero_only=True)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for the next training batch."""
        self._idle_since = time.perf_counter()

    def _start_over(self) -> None:
        self._clock.seconds.clear()
        self._samples = 0
        self._at_step = {}
