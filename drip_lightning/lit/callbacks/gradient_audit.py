"""What trains, what is frozen, and whether every trained weight really gets a gradient."""

from collections import Counter
from typing import Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor
from torch.optim import Optimizer

from drip_lightning.errors import InputError

_NAMED = 3
"""Silent tensors that a message names; their number it always says."""


class GradientAudit(Callback):
    """Says at the start what trains, and after the first steps which trained weights had no gradient.

    What lies behind a zero-initialised layer gets its first gradient in the second step or later, so that several
    steps are looked at; a tensor has passed with one finite, non-zero gradient. Flags stay on the device until the
    verdict. Ranks see the same gradients, and accumulated batches count as one.
    """

    def __init__(self, steps: int = 5, on_silence: Literal["error", "warning"] = "error") -> None:
        """Say how long to look, and what to do.

        Args:
            steps: Steps of the optimizer before the verdict; 0 for none. A shorter run gets none either.
            on_silence: Whether a trained weight without gradient stops the run or is warned of.
        """
        if steps < 0:
            raise InputError(f"gradient_audit.steps: expected 0 or more, got {steps}")
        self.steps = steps
        self.on_silence = on_silence
        self._seen: list[tuple[list[str], Tensor]] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the counts."""
        self._seen = []
        for line in parameter_counts(pl_module):
            rank_zero_info(line)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Look at the gradients of one of the first steps; after the last of them, judge."""
        if len(self._seen) >= self.steps:
            return
        trained = {name: weight for name, weight in pl_module.named_parameters() if weight.requires_grad}
        largest = {name: weight.grad.abs().amax() for name, weight in trained.items() if weight.grad is not None}
        if largest:
            values = torch.stack([value.float() for value in largest.values()])
            self._seen.append((list(largest), values.isfinite() & (values > 0)))
        else:
            self._seen.append(([], torch.zeros(0, dtype=torch.bool)))
        if len(self._seen) == self.steps:
            self._judge(list(trained))

    def _judge(self, trained: list[str]) -> None:
        passed = {name for names, flags in self._seen for name, flag in zip(names, flags.tolist(), strict=True) if flag}
        self._seen = [([], torch.zeros(0))] * self.steps
        silent = [name for name in trained if name not in passed]
        if not silent:
            return
        more = f" and {len(silent) - _NAMED} more" if len(silent) > _NAMED else ""
        message = (
            f"{len(silent)} of {len(trained)} trained tensors had no finite, non-zero gradient in {self.steps} steps: "
            f"{', '.join(silent[:_NAMED])}{more}; freeze them, mend what cuts them off, or set "
            "gradient_audit.on_silence to warning"
        )
        if self.on_silence == "error":
            raise InputError(message)
        rank_zero_warn(message)


def parameter_counts(module: LightningModule) -> list[str]:
    """Two lines, `trained: …` and `frozen: …`: parameters and tensors, and their parts' shares, the largest first."""
    lines = []
    for kind, trains in (("trained", True), ("frozen", False)):
        own = [(name, weight) for name, weight in module.named_parameters() if weight.requires_grad == trains]
        parts: Counter[str] = Counter()
        for name, weight in own:
            parts[".".join(name.split(".")[:2])] += weight.numel()
        shares = ", ".join(f"{part} {count:,}" for part, count in parts.most_common()) or "nothing"
        lines.append(f"{kind}: {sum(parts.values()):,} parameters in {len(own)} tensors ({shares})")
    return lines
