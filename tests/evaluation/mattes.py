"""Methods that need no training, and one picture to try them on."""

from collections.abc import Sequence

import torch

from drip_lightning.data.sample import MattingBatch
from drip_lightning.evaluation.method import Method
from drip_lightning.nn.sampler import Matte


class Noisy(Method):
    """A method that samples: the truth, off by an amount that seed, picture and steps decide."""

    default_steps = 4

    def __init__(self, name: str = "noisy") -> None:
        super().__init__(name)
        self.asked: list[tuple[int, int | None, tuple[int, ...]]] = []

    def mattes(self, batch: MattingBatch, *, steps: int | None, seeds: Sequence[int]) -> tuple[Matte, ...]:
        (number,) = batch["number"]
        self.asked.append((number, steps, tuple(seeds)))
        off = (number + 1) * (1 + seeds[0]) / (100 * (steps or 1))
        alpha = torch.where(batch["alpha"] > 0.5, batch["alpha"] - off, batch["alpha"] + off)
        return (Matte(foreground=batch["image"], alpha=alpha),)

    def describe(self) -> dict[str, str | int | float]:
        return {"kind": "test"}
