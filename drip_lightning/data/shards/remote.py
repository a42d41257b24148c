"""Shards behind a URL: any that fsspec opens (http, s3, gs, hf, …), fetched whole into the local cache."""

import hashlib
import logging
import shutil
import time
from pathlib import Path

from drip_lightning.data.cache import LocalCache
from drip_lightning.data.shards.index import Shard
from drip_lightning.data.shards.urls import open_place
from drip_lightning.errors import InputError, RunError

_LOG = logging.getLogger(__name__)
_TRIES = 3
_CHUNK = 1 << 20


class Unreachable(RunError):
    """Shard temporarily unreachable: not counted as damaged, but the run cannot continue."""


def fetch(url: str, shard: Shard, cache: LocalCache) -> Path:
    """Get a shard into the cache, once for all processes of the machine.

    A file that differs from what the index says is kept under another name, to be read sample by sample as a damaged
    one, and fetched again by the next run.

    Raises:
        InputError: there is no such shard, or no room for it.
        Unreachable: the connection failed again and again.
    """
    names = [f"shards/{shard.sha256}.tar", f"shards/{shard.sha256}.damaged.tar"]
    for attempt in range(_TRIES):
        with cache.lock(names[0]):
            if path := cache.find(names[0]):
                return path
            path = cache.find(names[1])
            if path is not None and path.stat().st_ctime >= cache.began:
                return path
            try:
                return _download(url, shard, cache, *names)
            except FileNotFoundError as error:
                raise InputError(f"shard {url} is missing: make the folder again") from error
            except OSError as error:
                failure = error
        _LOG.warning("shard %s: %s; trying again", url, failure)
        time.sleep(2**attempt)
    raise Unreachable(f"shard {url} cannot be fetched ({failure}): check the connection, then resume")


def _download(url: str, shard: Shard, cache: LocalCache, good: str, bad: str) -> Path:
    with open_place(url) as stream:
        path = cache.store(bad, shard.bytes, lambda copy: shutil.copyfileobj(stream, copy, _CHUNK))
    if path is None:
        raise InputError(f"no room for shard {url} in {cache.folder}: set data.cache_bytes or data.cache_folder")
    with path.open("rb") as copy:
        if hashlib.file_digest(copy, "sha256").hexdigest() != shard.sha256:
            _LOG.warning("shard %s is not what its index says: its samples are checked one by one", url)
            return path
    return path.rename(cache.folder / good)
