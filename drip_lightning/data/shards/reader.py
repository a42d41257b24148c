"""Random access to the samples of a folder of shards, local or behind any URL; damage costs the sample it hits."""

import io
import os
import tarfile
import zlib
from bisect import bisect_right
from contextlib import suppress
from functools import lru_cache
from itertools import accumulate
from typing import Any

from drip_lightning.data.cache import LocalCache
from drip_lightning.data.shards.index import READ_ERRORS, Shard, Span, read_index
from drip_lightning.data.shards.remote import fetch
from drip_lightning.data.shards.urls import is_remote
from drip_lightning.errors import InputError

_MAX_MEMBERS = 64


class ShardFolder:
    """The samples of a folder of shards: `folder[position]`.

    The index says where in its shard each sample lies and what its checksum is, so a sample is read alone and damage
    is noticed whatever it hits. A shard behind a URL is fetched whole when one of its samples is first wanted, and
    kept in the local cache: reading positions shard by shard streams.
    """

    def __init__(self, folder: str | os.PathLike[str], *, cache: LocalCache | None = None) -> None:
        """Open the folder by its index.

        Args:
            folder: A local folder, or any URL that fsspec opens.
            cache: Where remote shards are kept; by default the user's.

        Raises:
            InputError: as `read_index`.
        """
        self.index = read_index(folder)
        self._cache = cache or LocalCache()
        self._starts = list(accumulate((shard.samples for shard in self.index.shards), initial=0))

    def __len__(self) -> int:
        return self._starts[-1]

    def locate(self, position: int) -> tuple[Shard, int]:
        """The shard that holds a position, and which of its samples it is.

        Raises:
            IndexError: there is no such position.
        """
        if not 0 <= position < len(self):
            raise IndexError(f"sample {position} of {len(self)} in {self.index.folder}")
        number = bisect_right(self._starts, position) - 1
        return self.index.shards[number], position - self._starts[number]

    def key(self, position: int) -> str:
        """A sample's name, without reading it where the index tells; else its shard and place there."""
        shard, number = self.locate(position)
        return shard.spans[number].key if shard.spans else f"{shard.name}[{number}]"

    def state(self, shard: Shard) -> str:
        """Changes whenever the shard's content is, or might be, another."""
        known = f"{self.index.url(shard)} {shard.sha256}"
        if is_remote(self.index.folder):
            return known
        try:
            state = os.stat(self.index.url(shard))
        except OSError:
            return known
        return f"{known} {state.st_size} {state.st_mtime_ns}"

    def __getitem__(self, position: int) -> dict[str, Any]:
        """Return a sample: its members' bytes by extension, `__key__`, and `__url__`, the shard it came from.

        Raises:
            IndexError: there is no such position.
            InputError: the shard is missing, or the sample damaged.
        """
        shard, number = self.locate(position)
        url = self.index.url(shard)
        path = str(fetch(url, shard, self._cache)) if is_remote(url) else url
        try:
            with open(path, "rb") as stream:
                spans = shard.spans or _scan(path, os.fstat(stream.fileno()).st_mtime_ns)
                if number >= len(spans):
                    raise InputError(f"shard {url} has {len(spans)} of {shard.samples} samples: copy or make it again")
                return {**_read(stream, spans[number], url), "__url__": url}
        except OSError as error:
            raise InputError(f"shard {url} cannot be read ({error.strerror}): copy or make the folder again") from error


def _read(stream: io.BufferedReader, span: Span, url: str) -> dict[str, Any]:
    stream.seek(span.offset)
    content = stream.read(span.bytes)
    if len(content) < span.bytes:
        raise InputError(f"sample {span.key!r} of {url}: the file ends before it: copy or make the folder again")
    if span.crc32 is not None and zlib.crc32(content) != span.crc32:
        raise InputError(
            f"sample {span.key!r} of {url}: the file was changed or damaged: copy or make the folder again"
        )
    sample: dict[str, Any] = {"__key__": span.key}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            for _ in range(_MAX_MEMBERS):
                member = tar.next()
                if member is None:
                    break
                key, _, extension = member.name.partition(".")
                opened = tar.extractfile(member) if member.isreg() and not member.issparse() else None
                if key == span.key and opened is not None:
                    sample[extension] = opened.read()
    except READ_ERRORS as error:
        raise InputError(f"sample {span.key!r} of {url} cannot be read ({error})") from error
    return sample


@lru_cache(maxsize=8)
def _scan(path: str, state: int) -> tuple[Span, ...]:
    """Where the samples of a shard lie whose index does not tell; a broken header costs its member.

    Args:
        path: The shard.
        state: Its time of change, so that a changed file is scanned again.
    """
    spans: list[Span] = []
    # What cannot be read any more is missed by whoever asks for it.
    with (
        suppress(*READ_ERRORS),
        open(path, "rb") as stream,
        tarfile.open(fileobj=stream, mode="r:", ignore_zeros=True) as tar,
    ):
        while (member := tar.next()) is not None:
            key = member.name.partition(".")[0]
            end = member.offset_data + (member.size + 511) // 512 * 512
            first = spans.pop().offset if spans and spans[-1].key == key else member.offset
            spans.append(Span(key, first, end - first, None))
    return tuple(spans)
