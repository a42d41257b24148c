"""Named streams of random numbers: what one draws never shifts what another does."""

import torch

from drip_lightning.ops.randomness import sample_generator


class Chance:
    """The random numbers of one sample for one purpose."""

    def __init__(self, seed: int, number: int, name: str) -> None:
        """Begin a stream.

        Args:
            seed: The run's.
            number: The sample's.
            name: The stream's; streams of other names are independent of it.
        """
        self._generator = sample_generator(seed, number, name)

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * float(torch.rand((), generator=self._generator, dtype=torch.float64))

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(self.uniform(low, high + 1))

    def happens(self, probability: float) -> bool:
        """Whether something of this probability comes about."""
        return self.uniform(0, 1) < probability
