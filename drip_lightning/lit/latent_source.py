"""Where the transparency decoder's training latents come from: the denoiser, or shards made by it before."""

import io
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from drip_lightning.data.sample import MattingBatch
from drip_lightning.data.shards.reader import ShardFolder
from drip_lightning.errors import InputError
from drip_lightning.ops.domains import pair_domains, unpair_domains


class LatentSource(ABC):
    """A choice of where sampled latents come from; both give the same."""

    @abstractmethod
    def __call__(
        self,
        batch: MattingBatch,
        *,
        sample: Callable[[MattingBatch], Tensor],
        facts: Callable[[], dict[str, Any]],
    ) -> Tensor:
        """Give a training batch's latents.

        Args:
            batch: B samples.
            sample: Runs the frozen denoiser on a batch: (2B, C, h, w), domains stacked.
            facts: Tells everything that decides a sample's latents but its number, as JSON holds it; digests weights,
                so that it takes a while.

        Returns:
            (2B, C, h, w) sampled latents, domains stacked.
        """


class LiveLatents(LatentSource):
    """Run the frozen denoiser in every training step: the paper's way, and any number of samples."""

    def __call__(
        self,
        batch: MattingBatch,
        *,
        sample: Callable[[MattingBatch], Tensor],
        facts: Callable[[], dict[str, Any]],
    ) -> Tensor:
        """Sample the batch's latents."""
        return sample(batch)


class CachedLatents(LatentSource):
    """Read latents that `drip data cache-latents` made of the same samples with the same denoiser.

    Args:
        folder: Folder (or URL) of shards of latents.
    """

    def __init__(self, folder: str = "data/latents") -> None:
        self.folder = folder
        self._shards: ShardFolder | None = None

    def __call__(
        self,
        batch: MattingBatch,
        *,
        sample: Callable[[MattingBatch], Tensor],
        facts: Callable[[], dict[str, Any]],
    ) -> Tensor:
        """Read the batch's latents by sample number.

        Raises:
            InputError: there are none for a sample, or they were made with other settings.
        """
        if self._shards is None:
            self._shards = self._open(facts())
        if batch["number"][-1] >= len(self._shards):
            raise InputError(
                f"{self.folder} has the latents of {len(self._shards)} samples, and training has come to sample "
                f"{batch['number'][-1]}: cache more with `drip data cache-latents --samples`, or train fewer steps"
            )
        latents = torch.stack([decode_latents(self._shards[number]) for number in batch["number"]])
        return unpair_domains(latents.to(batch["image"].device, non_blocking=True))

    def _open(self, wanted: dict[str, Any]) -> ShardFolder:
        shards = ShardFolder(self.folder)
        found = shards.index.arguments
        different = [name for name, value in wanted.items() if found.get(name) != value]
        if different:
            raise InputError(
                f"{self.folder} was cached with other settings ({', '.join(different)}): make it again with "
                "`drip data cache-latents` and this run's configuration"
            )
        return shards


def encode_latents(latents: Tensor) -> list[bytes]:
    """Each sample's latents of a stacked batch (2B, C, h, w), as the bytes of a float32 `npy` file (2, C, h, w)."""
    files = []
    for pair in pair_domains(latents).float().cpu():
        stream = io.BytesIO()
        np.save(stream, pair.numpy(), allow_pickle=False)
        files.append(stream.getvalue())
    return files


def decode_latents(sample: dict[str, Any]) -> Tensor:
    """Undo `encode_latents`: (2, C, h, w)."""
    return torch.from_numpy(np.load(io.BytesIO(sample["latents.npy"]), allow_pickle=False))
