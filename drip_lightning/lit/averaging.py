"""Averages of the trained weights, which validation and everything after training use in their place."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from drip_lightning.errors import InputError


class Averaging(ABC):
    """A choice of weights to keep beside the trained ones."""

    @abstractmethod
    def callbacks(self) -> list[Callback]:
        """The Lightning callbacks that update, store and restore the averages during training."""


@dataclass(frozen=True)
class NoAveraging(Averaging):
    """The last step's weights are the result."""

    def callbacks(self) -> list[Callback]:
        """Return no callbacks: training is left alone."""
        return []


@dataclass(frozen=True)
class EMA(Averaging):
    """Exponential moving average: after each step `average ← decay · average + (1 - decay) · weight`.

    Attributes:
        decay: Of step n it is `min(decay, (1 + n) / (10 + n))`, so that the first weights are soon forgotten.
    """

    decay: float = 0.999

    def __post_init__(self) -> None:
        """Refuse a decay outside [0, 1)."""
        if not 0 <= self.decay < 1:
            raise InputError(f"averaging.decay: expected at least 0 and less than 1, got {self.decay}")

    def callbacks(self) -> list[Callback]:
        """One `AveragedWeights`."""
        return [AveragedWeights(self.decay)]


class AveragedWeights(Callback):
    """Keeps a float32 average of every trainable parameter, and of nothing else.

    Validation during training sees the averages; at the end of training they take the weights' place. Checkpoints
    hold both, and a resumed run averages on as if it had never stopped.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.averages: dict[str, Tensor] = {}
        self._displaced: dict[str, Tensor] = {}
        self._restored: dict[str, Any] | None = None
        self._step = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin with the weights as they are, or resume the checkpoint's averages."""
        self._displaced = {}
        self.averages = {name: weight.detach().float().clone() for name, weight in _trained(pl_module).items()}
        if self._restored is not None:
            self.updates = self._restored["updates"]
            for name, average in self.averages.items():
                average.copy_(self._restored["weights"][name])
            self._restored = None
        rank_zero_info(
            f"averages of {len(self.averages)} trained tensors (EMA, decay {self.decay}): validation's weights"
        )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the step that a resumed run starts from."""
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Take in the new weights, once a step of the optimizer."""
        if trainer.global_step == self._step:  # a batch that was only accumulated
            return
        self._step = trainer.global_step
        self.updates += 1
        weights = [weight.detach().float() for weight in _trained(pl_module).values()]
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        get_ema_multi_avg_fn(decay)(list(self.averages.values()), weights, self.updates)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the averages in the weights' place."""
        if self.averages:
            self._displaced = {name: weight.detach().clone() for name, weight in _trained(pl_module).items()}
            _put(self.averages, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the weights back."""
        _put(self._displaced, pl_module)
        self._displaced = {}

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the averages in the weights' place; a checkpoint written after this still holds both."""
        self.on_validation_start(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the averages; a run that ends during a validation still saves its own weights as such."""
        checkpoint["state_dict"].update(self._displaced)
        if self.averages:  # none before training starts, as where a finder of learning rates saves
            checkpoint["averages"] = {"updates": self.updates, "weights": self.averages}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the checkpoint's averages until training starts."""
        self._restored = checkpoint.get("averages")


def _trained(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}


@torch.no_grad()
def _put(weights: dict[str, Tensor], module: nn.Module) -> None:
    own = _trained(module)
    for name, weight in weights.items():
        own[name].copy_(weight)
