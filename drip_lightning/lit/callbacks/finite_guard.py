"""Stops a run whose loss or weights are no longer finite, by the numbers of the samples, before it is saved."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from drip_lightning.errors import RunError
from drip_lightning.lit.callbacks.step_log import is_logged


class FiniteGuard(Callback):
    """Looks at every batch's loss, and waits for the device only where a step is logged or the run is saved.

    Losses' flags stay on the device until the next logged step. What went wrong in the meantime cannot be saved:
    weights that are not finite refuse to be written.
    """

    def __init__(self) -> None:
        self._batches: list[tuple[int, list[int]]] = []
        self._finite: list[Tensor] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note whether the batch's loss was finite; at a logged step, look.

        Raises:
            RunError: the first loss on any rank that was not, with the samples of its batch.
        """
        if outputs is None:
            return
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        self._finite.append(loss.detach().isfinite().all())
        self._batches.append((trainer.global_step, list(batch["number"])))
        complete = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if complete and (is_logged(trainer.global_step, trainer) or trainer.global_step == trainer.max_steps):
            self._look(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Refuse to save weights that are not finite.

        Raises:
            RunError: naming the samples of this rank's first loss that was not finite, if any.
        """
        sound = [weight.detach().isfinite().all() for weight in pl_module.parameters() if weight.requires_grad]
        if not sound or torch.stack(sound).all():
            return
        finite = torch.stack(self._finite).tolist() if self._finite else []
        bad = [numbers for (_, numbers), good in zip(self._batches, finite, strict=True) if not good]
        hint = f"; {_samples(bad[0], trainer)}" if bad else ""
        raise RunError(f"weights are not finite at step {trainer.global_step}, so they are not saved{hint}")

    def _look(self, trainer: Trainer, pl_module: LightningModule) -> None:
        finite = torch.stack(self._finite).tolist()
        first = next((place for place, good in enumerate(finite) if not good), len(finite))
        step, numbers = self._batches[min(first, len(finite) - 1)]
        found = torch.tensor([first, step, *numbers], device=pl_module.device)
        batches, self._finite, self._batches = len(finite), [], []
        worst = min(trainer.strategy.all_gather(found).view(-1, len(found)).tolist())
        if worst[0] < batches:
            raise RunError(f"the loss of step {worst[1]} is not finite; {_samples(worst[2:], trainer)}")


def _samples(numbers: list[int], trainer: Trainer) -> str:
    listed = ", ".join(str(number) for number in numbers)
    config = f"{trainer.default_root_dir}/config.yaml"
    return f"samples {listed}: look at them with `drip data show --config {config} --sample {numbers[0]}`"
