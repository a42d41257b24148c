"""Folders of WebDataset shards: described by `index.json`, read in order into a bounded cache."""

import json
import os
import re
import tarfile
import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import webdataset as wds

from drip_lightning.errors import InputError

INDEX_NAME = "index.json"
_SHARD_NAME = re.compile(r"[\w.-]+\.tar")
READ_ERRORS = (OSError, EOFError, ValueError, tarfile.TarError, zlib.error)


@dataclass(frozen=True)
class Shard:
    """One tar file of a folder: its name there, how many samples and bytes it has, and its SHA-256."""

    name: str
    samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShardIndex:
    """What `index.json` says: the shards in order, and which converter of which version made them from what.

    Attributes:
        folder: Where the shards are: an absolute path or a URL.
        shards: In order.
        converter: Name of what made them.
        version: The package's, then.
        arguments: The converter's.
        licence: What may be done with the samples, if that was said.
        report: What the converter had to say: refused files, warnings.
    """

    folder: str
    shards: tuple[Shard, ...]
    converter: str
    version: str
    arguments: Mapping[str, Any]
    licence: str | None = None
    report: Mapping[str, Any] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """Number of samples in all shards."""
        return sum(shard.samples for shard in self.shards)

    def url(self, shard: Shard) -> str:
        """Where webdataset opens the shard: an absolute path, or a URL under the folder's."""
        return f"{self.folder}/{shard.name}"


def read_index(folder: str | os.PathLike[str]) -> ShardIndex:
    """Read a folder's `index.json`.

    Args:
        folder: A local folder, or any URL that webdataset opens with `/index.json` appended.

    Raises:
        InputError: there is no such folder, no index in it, or the index cannot be read.
    """
    place = os.fspath(folder).rstrip("/") or "/"
    if "://" not in place:
        if not Path(place).is_dir():
            raise InputError(f"no shards at {place}: make some with `drip synth {place}` or `drip prepare`")
        if not (Path(place) / INDEX_NAME).is_file():
            what = "is empty" if not any(Path(place).iterdir()) else f"has no {INDEX_NAME}, so it is not complete"
            raise InputError(f"{place} {what}: make it with `drip synth {place}` or `drip prepare`")
        place = str(Path(place).resolve())
    try:
        with wds.gopen(f"{place}/{INDEX_NAME}") as stream:
            content = json.loads(stream.read())
        shards = tuple(Shard(**shard) for shard in content.pop("shards"))
        index = ShardIndex(folder=place, shards=shards, **content)
        sound = bool(shards) and all(_SHARD_NAME.fullmatch(shard.name) and shard.samples > 0 for shard in shards)
    except (*READ_ERRORS, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{place}/{INDEX_NAME} cannot be read ({error}): make the folder again") from error
    if not sound:
        raise InputError(f"{place}/{INDEX_NAME} lists no usable shards: make the folder again")
    return index


class ShardFolder:
    """Random access to the samples of a folder of shards, `folder[position]`, through a cache of whole shards.

    A shard is read from its beginning, by webdataset, when one of its samples is first wanted, and stays in memory
    until newer ones need the room. Reading positions shard by shard therefore streams. Every process has its own
    cache; copies sent to data-loading workers start with an empty one.
    """

    def __init__(self, folder: str | os.PathLike[str], *, cache_bytes: int) -> None:
        """Open the folder by its index.

        Args:
            folder: A local folder, or any URL that webdataset opens.
            cache_bytes: How much encoded data to keep in memory; the shard in use is kept whatever its size.

        Raises:
            InputError: as `read_index`.
        """
        self.index = read_index(folder)
        self._cache_bytes = cache_bytes
        self._starts = list(accumulate((shard.samples for shard in self.index.shards), initial=0))
        self._cache: OrderedDict[int, list[dict[str, Any]]] = OrderedDict()

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, position: int) -> dict[str, Any]:
        """Return a sample: its members' bytes by extension, `__key__`, and `__url__`, the shard it came from.

        Raises:
            IndexError: there is no such position.
            InputError: the shard is missing, truncated or damaged.
        """
        if not 0 <= position < len(self):
            raise IndexError(f"sample {position} of {len(self)} in {self.index.folder}")
        number = bisect_right(self._starts, position) - 1
        if number not in self._cache:
            self._make_room(self.index.shards[number].bytes)
            self._cache[number] = _read_shard(self.index, self.index.shards[number])
        self._cache.move_to_end(number)
        return self._cache[number][position - self._starts[number]]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": OrderedDict()}

    def _make_room(self, wanted: int) -> None:
        held = sum(self.index.shards[number].bytes for number in self._cache)
        while self._cache and held + wanted > self._cache_bytes:
            number, _ = self._cache.popitem(last=False)
            held -= self.index.shards[number].bytes


def _read_shard(index: ShardIndex, shard: Shard) -> list[dict[str, Any]]:
    url = index.url(shard)
    # A list of one URL is not brace-expanded, and without splitters every worker and rank reads what it asks for.
    stream = wds.WebDataset([url], shardshuffle=False, nodesplitter=None, workersplitter=None, seed=0)
    samples: list[dict[str, Any]] = []
    try:
        samples.extend(stream)
    except READ_ERRORS as error:
        why = str(error.args[0]) if error.args else type(error).__name__
        raise InputError(_damage(url, shard, samples, why)) from error
    if len(samples) != shard.samples:
        raise InputError(_damage(url, shard, samples, "the file ends early or was changed"))
    return samples


def _damage(url: str, shard: Shard, samples: list[dict[str, Any]], why: str) -> str:
    where = f"after sample {samples[-1]['__key__']!r}" if samples else "at its first sample"
    return (
        f"shard {url} cannot be read {where} ({len(samples)} of {shard.samples} samples read; {why}): "
        "copy or make the folder again"
    )
