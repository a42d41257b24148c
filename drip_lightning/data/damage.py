"""How much of the data turned out to be damaged, and when that is too much."""

import logging
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from drip_lightning.errors import InputError

_LOG = logging.getLogger(__name__)


class Damage(NamedTuple):
    """A sample that had to be replaced."""

    folder: str
    """Which folder it is in: `foregrounds` or `backgrounds`."""
    position: int
    line: str
    """What is wrong with it, with shard and key."""


class DamageLedger:
    """Counts the damaged samples that a rank's batches met, each once, and stops a run that has too many.

    Batches bring the news from all workers of a rank. Every rank decides by itself: as each epoch deals the samples
    anew, it meets nearly all of them within a few epochs, and one rank that stops ends the run.
    """

    def __init__(self, samples: Mapping[str, int], *, allowed_share: float) -> None:
        """Start counting, with no sample damaged.

        Args:
            samples: Number of samples in each folder.
            allowed_share: Part of a folder's samples, from 0 to 1, that may be damaged; a single one always may.
        """
        self._samples = dict(samples)
        self._allowed_share = allowed_share
        self._seen: dict[str, set[int]] = {folder: set() for folder in samples}

    def add(self, damage: Iterable[Damage]) -> None:
        """Log what is new.

        Args:
            damage: What was replaced.

        Raises:
            InputError: more of a folder is damaged than may be.
        """
        for folder, position, line in damage:
            seen = self._seen[folder]
            if position in seen:
                continue
            seen.add(position)
            _LOG.warning("replaced: %s", line)
            if len(seen) > max(1, self._allowed_share * self._samples[folder]):
                raise InputError(
                    f"{len(seen)} of the {self._samples[folder]} {folder} are damaged, more than data.damaged_share = "
                    f"{self._allowed_share:g} allows; the last: {line}"
                )
