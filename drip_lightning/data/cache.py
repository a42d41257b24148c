"""A bounded folder on the local disk for what is costly to make again: decoded pictures, remote shards."""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from drip_lightning.errors import InputError, raised_as
from drip_lightning.files import lock, whole_file

_LOG = logging.getLogger(__name__)
_PARTIAL = ".partial-"
_PATIENCE = 60.0
"""Seconds between two looks at a full cache, and between two marks of an entry's use."""
_LEFT_FREE = 0.05
"""Part of the disk that is never filled."""


def default_cache_folder() -> Path:
    """Where the cache lies unless told otherwise: `$DRIP_CACHE`, or `drip_lightning` in the user's cache folder."""
    if folder := os.environ.get("DRIP_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drip_lightning"


@dataclass
class LocalCache:
    """Files by name, shared by all processes of a machine; whatever is in it can be deleted at any time.

    An entry appears whole or not at all, also when its writer is killed. A full cache evicts the least recently used
    entries, but never one used since this run started: a data set larger than the cache keeps a stable part instead of
    thrashing. Where nothing can be written, nothing is kept.

    Attributes:
        folder: The place; made when first needed.
        max_bytes: Bound on its size, kept to a few percent. 0 keeps nothing.
    """

    folder: Path = field(default_factory=default_cache_folder)
    max_bytes: int = 1 << 36
    began: float = field(default_factory=time.time, init=False, repr=False)
    _allowance: int = field(default=0, init=False, repr=False)
    _measured: float = field(default=-1e9, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.max_bytes < 0:
            raise InputError(f"cache_bytes: expected 0 or more, got {self.max_bytes}")
        self.folder = Path(self.folder).expanduser()

    def find(self, name: str) -> Path | None:
        """The file of an entry, marked as used; None if there is none."""
        path = self.folder / name
        try:
            if time.time() - path.stat().st_mtime > _PATIENCE:
                os.utime(path)
        except OSError:
            return None
        return path

    def store(self, name: str, size: int, write: Callable[[BinaryIO], object]) -> Path | None:
        """Keep an entry.

        Args:
            name: Its path in the cache; an entry of that name is replaced.
            size: Its number of bytes.
            write: Writes them.

        Returns:
            The file, or None if there is no room for it.
        """
        if not self.max_bytes or not self._has_room(size):
            return None
        path = self.folder / name
        partial = path.with_name(f"{_PARTIAL}{os.getpid()}-{path.name}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path, partial=partial), partial.open("wb") as stream:
                write(stream)
        except OSError as error:
            _LOG.warning("%s cannot be written (%s): going on without it", path, error.strerror)
            self._allowance, self._measured = 0, time.monotonic()
            return None
        self._allowance -= size
        return path

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Let one process at a time make an entry; the lock of a killed process is free."""
        path = self.folder / f"{name}.lock"
        said = f"{path} cannot be written ({{}}): set data.cache_folder"
        with raised_as(InputError, OSError, message=said.format):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        with lock(path, wait=True):
            yield

    def _has_room(self, size: int) -> bool:
        if self._allowance >= size:
            return True
        if self._allowance <= 0 and time.monotonic() - self._measured < _PATIENCE:
            return False  # it was full a moment ago
        self._measured = time.monotonic()
        try:
            self._allowance = self._make_room(size)
        except OSError:
            self._allowance = 0
        return self._allowance >= size

    def _make_room(self, size: int) -> int:
        """Drop what is unused, and return how many bytes this process may write before it looks again."""
        self.folder.mkdir(parents=True, exist_ok=True)
        entries = sorted(self._entries())
        total = sum(entry_size for _, entry_size, _ in entries)
        disk = shutil.disk_usage(self.folder)
        limit = min(self.max_bytes, total + disk.free - int(_LEFT_FREE * disk.total))
        wanted = size + self.max_bytes // 64
        for used, entry_size, path in entries:
            if total + wanted <= limit or used >= self.began:
                break
            path.unlink(missing_ok=True)
            total -= entry_size
        return min(limit - total, wanted)

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """Last use, size and path of everything; what killed writers left is removed."""
        for parent, _, names in os.walk(self.folder):
            for name in names:
                path = Path(parent, name)
                try:
                    state = path.stat()
                except FileNotFoundError:
                    continue
                if name.startswith(_PARTIAL) and time.time() - state.st_mtime > 3600:
                    path.unlink(missing_ok=True)
                elif not name.endswith(".lock"):
                    yield state.st_mtime, state.st_size, path
