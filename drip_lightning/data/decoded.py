"""Decoded pictures by position, each decoded once and then read from a memory map."""

import hashlib
import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numba
import numpy as np

from drip_lightning.data.cache import LocalCache
from drip_lightning.data.shards.reader import ShardFolder
from drip_lightning.data.warp import Pyramid, pyramid

_MAGIC = np.frombuffer(b"DRIPpic1", np.int64)[0]
_HEADER = 5
_MAX_CENTRES = 4096

Decode = Callable[[Mapping[str, Any]], np.ndarray]
"""Makes (H, W, 4) uint8, straight RGBA, of a sample's members."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture, ready to be cropped."""

    levels: Pyramid
    """The picture and its reductions by 2, 4 and 8, packed RGBA."""
    centres: np.ndarray
    """(N, 2) int32: rows and columns of pixels with 0 < alpha < 1, at most 4096, evenly taken from all; failing such,
    of pixels with alpha > 0."""


class DecodedPictures:
    """Random access to the pictures of a folder of shards; which are cached never changes what is returned."""

    def __init__(self, folder: ShardFolder, decode: Decode, cache: LocalCache) -> None:
        """Decode a folder's samples.

        Args:
            folder: The shards.
            decode: Of one sample.
            cache: Where to keep what was decoded.
        """
        self.folder = folder
        self._decode = decode
        self._cache = cache

    def __getitem__(self, position: int) -> Picture:
        """Return a picture.

        Raises:
            InputError: the sample is damaged.
        """
        shard, number = self.folder.locate(position)
        state = f"{self.folder.state(shard)} {self._decode.__module__}.{self._decode.__qualname__}"
        name = f"decoded/{hashlib.sha256(state.encode()).hexdigest()[:32]}/{number:06d}"
        path = self._cache.find(name)
        picture = None if path is None else _read(path)
        if picture is None:
            rgba = self._decode(self.folder[position])
            picture = Picture(pyramid(rgba), _centres(rgba))
            self._cache.store(name, _size(picture), partial(_write, picture))
        return picture


def _write(picture: Picture, stream: BinaryIO) -> None:
    stream.write(_header(picture).tobytes())
    stream.write(picture.centres.tobytes())
    for level in picture.levels:
        stream.write(level.data)
    stream.write(_MAGIC.tobytes())


def _header(picture: Picture) -> np.ndarray:
    height, width = picture.levels[0].shape
    return np.array([_MAGIC, height, width, len(picture.levels), len(picture.centres)], np.int64)


def _size(picture: Picture) -> int:
    return 8 * _HEADER + picture.centres.nbytes + sum(level.nbytes for level in picture.levels) + _MAGIC.nbytes


def _read(path: Path) -> Picture | None:
    """Map an entry; None if it vanished or is not whole."""
    try:
        with path.open("rb") as stream:
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None
    if len(content) < 8 * _HEADER + 8 or content[-8:] != content[:8] != b"":
        return None
    magic, height, width, count, centres = (int(value) for value in np.frombuffer(content, np.int64, _HEADER))
    if magic != _MAGIC:
        return None
    start = 8 * _HEADER
    picture = Picture([], np.frombuffer(content, np.int32, 2 * centres, start).reshape(-1, 2))
    start += picture.centres.nbytes
    for _ in range(count):
        picture.levels.append(np.frombuffer(content, np.uint32, height * width, start).reshape(height, width))
        start += picture.levels[-1].nbytes
        height, width = (height + 1) // 2, (width + 1) // 2
    return picture if start + 8 == len(content) else None


def _centres(rgba: np.ndarray) -> np.ndarray:
    for low, high in ((1, 254), (1, 255)):
        count = _count(rgba, low, high)
        if count:
            return _choose(rgba, low, high, np.linspace(0, count - 1, min(count, _MAX_CENTRES)).astype(np.int64))
    return np.empty((0, 2), np.int32)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _count(rgba: np.ndarray, low: int, high: int) -> int:
    count = 0
    for i in range(rgba.shape[0]):
        for j in range(rgba.shape[1]):
            count += low <= rgba[i, j, 3] <= high
    return count


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _choose(rgba: np.ndarray, low: int, high: int, wanted: np.ndarray) -> np.ndarray:
    """Places of the wanted ones, counted row by row, among the pixels with alpha from `low` to `high`."""
    places = np.empty((len(wanted), 2), np.int32)
    seen, found = 0, 0
    for i in range(rgba.shape[0]):
        for j in range(rgba.shape[1]):
            if low <= rgba[i, j, 3] <= high:
                if seen == wanted[found]:
                    places[found, 0], places[found, 1] = i, j
                    found += 1
                    if found == len(wanted):
                        return places
                seen += 1
    return places
