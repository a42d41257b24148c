"""Several folders of shards, read in proportion to their weights; which sample comes from where is a pure function."""

from collections.abc import Sequence
from itertools import accumulate
from math import isfinite

import torch
from torch import Tensor

from drip_lightning.data.cache import LocalCache
from drip_lightning.data.shards.index import read_index
from drip_lightning.data.shards.reader import ShardFolder
from drip_lightning.errors import InputError
from drip_lightning.ops.randomness import sample_generator

Folders = dict[str, float] | str
"""A folder of shards, or several with the weight of each."""
BLOCK = 1000
"""In each so many consecutive samples every folder has its exact share: the resolution of the weights."""


def weights_of(folders: Folders) -> dict[str, float]:
    """Folder to share of the samples.

    Returns:
        Shares that add up to 1; a single folder has all.

    Raises:
        InputError: no folder, or a weight that is not positive.
    """
    if isinstance(folders, str):
        return {folders: 1.0}
    bad = next((item for item in folders.items() if not (isfinite(item[1]) and item[1] > 0)), None)
    if bad is not None:
        raise InputError(f"folders of shards: expected a weight above 0 for {bad[0]}, got {bad[1]}")
    if not folders:
        raise InputError("folders of shards: expected FOLDER, or {FOLDER: WEIGHT, …}, got an empty mapping")
    total = sum(folders.values())
    return {folder: weight / total for folder, weight in folders.items()}


def shard_digests(folders: Folders) -> list[str]:
    """What tells the samples of these folders from any others: the shards' SHA-256, and the shares of several folders.

    Raises:
        InputError: as `read_index`.
    """
    weights = weights_of(folders)
    several = len(weights) > 1
    digests: list[str] = []
    for folder, share in weights.items():
        digests += [f"share {share:.9g}"] if several else []
        digests += [shard.sha256 for shard in read_index(folder).shards]
    return digests


class ShardMixture:
    """Folders of shards and their shares of the samples."""

    def __init__(self, folders: Folders, *, cache: LocalCache | None = None) -> None:
        """Open the folders by their indices.

        Args:
            folders: One folder (or URL), or several with the weight of each.
            cache: Where remote shards are kept; by default the user's.

        Raises:
            InputError: as `weights_of` and `read_index`.
        """
        weights = weights_of(folders)
        self.folders = tuple(ShardFolder(folder, cache=cache) for folder in weights)
        self.shares = tuple(weights.values())
        self.starts = tuple(accumulate(map(len, self.folders), initial=0))
        """Where each folder's positions begin when all are counted through."""

    def __len__(self) -> int:
        return self.starts[-1]


class MixtureOrder:
    """Which folder a sample comes from, and how many samples came from there before.

    Each block of `BLOCK` numbers gives every folder its share, in an order shuffled anew, so a folder's samples can be
    counted without walking through all numbers before.
    """

    def __init__(self, shares: Sequence[float], *, seed: int, purpose: str) -> None:
        """Describe the order.

        Args:
            shares: Of the folders; they add up to 1.
            seed: The run's.
            purpose: Tells this order from others with the same seed.

        Raises:
            InputError: more folders than a block has samples.
        """
        self._turns = _turns(shares)
        self._seed = seed
        self._purpose = f"mixture of {purpose}"
        self._block, self._which, self._earlier = -1, torch.empty(0), torch.empty(0)

    def place(self, number: int) -> tuple[int, int]:
        """The folder of the sample with this number, and the step of the walk through that folder."""
        if len(self._turns) == 1:
            return 0, number
        block, slot = divmod(number, BLOCK)
        if block != self._block:
            self._which, self._earlier = self._shuffle(block)
            self._block = block
        folder = int(self._which[slot])
        return folder, block * self._turns[folder] + int(self._earlier[slot])

    def _shuffle(self, block: int) -> tuple[Tensor, Tensor]:
        """Each slot's folder, and how many slots before it in the block have the same one: both (BLOCK,)."""
        turns = torch.tensor(self._turns)
        order = torch.randperm(BLOCK, generator=sample_generator(self._seed, block, self._purpose))
        which = torch.repeat_interleave(torch.arange(len(turns)), turns)[order]
        ranks = torch.nn.functional.one_hot(which, len(turns)).cumsum(0) - 1
        return which, ranks.gather(1, which[:, None])[:, 0]


def _turns(shares: Sequence[float]) -> list[int]:
    """Slots of each folder in a block: at least one, the rest by largest remainder."""
    if len(shares) > BLOCK:
        raise InputError(f"{len(shares)} folders of shards: at most {BLOCK} can be mixed")
    exact = [share * BLOCK for share in shares]
    turns = [max(1, int(value)) for value in exact]
    while sum(turns) != BLOCK:
        step = 1 if sum(turns) < BLOCK else -1
        able = [place for place in range(len(turns)) if turns[place] + step >= 1]
        turns[max(able, key=lambda place: step * (exact[place] - turns[place]))] += step
    return turns
