"""Which sample comes when: pure functions of the seed and the sample's number."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, count

import torch
from torch import Tensor
from torch.utils.data import Sampler

from drip_lightning.ops.randomness import sample_generator


class ShardOrder:
    """An endless walk through a folder of shards: each epoch visits every sample once, shard by shard.

    Shards are shuffled, and samples inside each shard, so that a shard is read once an epoch and from its beginning.
    """

    def __init__(self, shard_sizes: Sequence[int], *, seed: int, purpose: str) -> None:
        """Describe the walk.

        Args:
            shard_sizes: Number of samples in each shard.
            seed: The run's.
            purpose: Tells this walk from others with the same seed.
        """
        self._sizes = list(shard_sizes)
        self._seed = seed
        self._purpose = f"order of {purpose}"
        self._epoch, self._positions = 0, self._shuffle(0)

    def position(self, number: int) -> int:
        """Where in the folder the walk is at its `number`-th step."""
        epoch, step = divmod(number, len(self._positions))
        if epoch != self._epoch:
            self._epoch, self._positions = epoch, self._shuffle(epoch)
        return int(self._positions[step])

    def _shuffle(self, epoch: int) -> Tensor:
        generator = sample_generator(self._seed, epoch, self._purpose)
        starts = list(accumulate(self._sizes, initial=0))
        shards = torch.randperm(len(self._sizes), generator=generator).tolist()
        return torch.cat([starts[shard] + torch.randperm(self._sizes[shard], generator=generator) for shard in shards])


class BatchNumbers(Sampler[list[int]]):
    """Sample numbers of one rank's batches, without end.

    From number f on, batch k of the whole run holds the numbers [f + k N B, f + (k + 1) N B) for N ranks and B samples
    a rank; each rank takes its B of them. So the same global batch means the same samples on any number of ranks.
    """

    def __init__(
        self, *, batch_size: int, rank: int = 0, world_size: int = 1, first_number: int = 0, period: int | None = None
    ) -> None:
        """Describe the stream.

        Args:
            batch_size: Samples in one rank's batch.
            rank: This process's.
            world_size: Number of ranks.
            first_number: How many samples the whole run took before.
            period: After how many samples the whole run takes the same ones again; never by default.
        """
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size
        self.first_number = first_number
        self.period = period

    def __iter__(self) -> Iterator[list[int]]:
        for batch in count():
            start = self.first_number + (batch * self.world_size + self.rank) * self.batch_size
            numbers = range(start, start + self.batch_size)
            yield [number % self.period for number in numbers] if self.period else list(numbers)
