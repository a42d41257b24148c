"""The hints that networks start from, measured as methods of their own."""

from collections.abc import Sequence

from drip_lightning.data.sample import MattingBatch
from drip_lightning.evaluation.method import Method
from drip_lightning.nn.sampler import Matte
from drip_lightning.ops.hints.choice import Guess


class Hinted(Method):
    """One guess of colours and alpha, without a network."""

    def __init__(self, name: str, guess: Guess) -> None:
        super().__init__(name)
        self._guess = guess

    def mattes(self, batch: MattingBatch, *, steps: int | None, seeds: Sequence[int]) -> tuple[Matte, ...]:
        """Give the guess as the matte."""
        foreground, _, alpha = self._guess(batch["image"], batch["trimap"])
        return (Matte(foreground=foreground, alpha=alpha),)

    def describe(self) -> dict[str, str | int | float]:
        """Name the guess."""
        return {"kind": f"hint: {self._guess.__name__}"}
