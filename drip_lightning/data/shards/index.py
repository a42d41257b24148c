"""Folders of WebDataset shards, as their `index.json` describes them."""

import json
import os
import re
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from drip_lightning.data.shards.urls import is_remote, open_place
from drip_lightning.errors import InputError

INDEX_NAME = "index.json"
_SHARD_NAME = re.compile(r"[\w.-]+\.tar")
READ_ERRORS = (OSError, EOFError, ValueError, tarfile.TarError, zlib.error)


class Span(NamedTuple):
    """Where a sample lies in its shard."""

    key: str
    offset: int
    bytes: int
    crc32: int | None
    """Of all these bytes, tar headers included; None if the index does not tell."""


@dataclass(frozen=True)
class Shard:
    """One tar file of a folder: its name there, how many samples and bytes it has, its SHA-256, and its contents.

    `contents` has a line `KEY OFFSET BYTES CRC32` for each sample, in order; an index may do without.
    """

    name: str
    samples: int
    bytes: int
    sha256: str
    contents: Sequence[str] = ()

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """Where the samples lie; empty if the index does not tell."""
        spans = (line.rsplit(" ", 3) for line in self.contents)
        return tuple(Span(key, int(offset), int(size), int(crc32, 16)) for key, offset, size, crc32 in spans)


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
        """Where the shard is: an absolute path, or a URL under the folder's."""
        return f"{self.folder}/{shard.name}"


def read_index(folder: str | os.PathLike[str]) -> ShardIndex:
    """Read a folder's `index.json`.

    Args:
        folder: A local folder, or any URL that fsspec opens with `/index.json` appended.

    Raises:
        InputError: there is no such folder, no index in it, or the index cannot be read.
    """
    place = os.fspath(folder).rstrip("/") or "/"
    if not is_remote(place):
        if not Path(place).is_dir():
            raise InputError(f"no shards at {place}: make some with `drip synth {place}` or `drip prepare`")
        if not (Path(place) / INDEX_NAME).is_file():
            what = "is empty" if not any(Path(place).iterdir()) else f"has no {INDEX_NAME}, so it is not complete"
            raise InputError(f"{place} {what}: make it with `drip synth {place}` or `drip prepare`")
        place = str(Path(place).resolve())
    try:
        with open_place(f"{place}/{INDEX_NAME}") as stream:
            content = json.loads(stream.read())
        shards = tuple(Shard(**shard) for shard in content.pop("shards"))
        index = ShardIndex(folder=place, shards=shards, **content)
        sound = bool(shards) and all(map(_is_sound, shards))
    except (*READ_ERRORS, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{place}/{INDEX_NAME} cannot be read ({error}): make the folder again") from error
    if not sound:
        raise InputError(f"{place}/{INDEX_NAME} lists no usable shards: make the folder again")
    return index


def _is_sound(shard: Shard) -> bool:
    spans = shard.spans
    within = all(span.offset >= 0 and 0 < span.bytes <= shard.bytes for span in spans)
    return bool(_SHARD_NAME.fullmatch(shard.name)) and len(spans) in (0, shard.samples) and shard.samples > 0 and within
