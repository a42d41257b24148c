"""Folders of WebDataset shards, written whole: a folder with an `index.json` is complete."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import webdataset as wds

from drip_lightning import __version__
from drip_lightning.data.shards import INDEX_NAME, Shard
from drip_lightning.errors import InputError


class ShardWriter:
    """Writes samples into `shard-000000.tar`, `shard-000001.tar`, …; the same samples always give the same bytes.

    A shard gets its name when it is whole, and `index.json` is written last: a folder with an index is complete.
    An exception inside the `with` block leaves no index.

        with ShardWriter("data/train", converter="synth", arguments={"seed": 0}, samples_per_shard=100) as writer:
            writer.write({"__key__": "000000", "rgba.png": png})
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, converter: str, arguments: Mapping[str, Any], samples_per_shard: int
    ) -> None:
        """Describe the folder to be made; nothing is written before the `with` block.

        Args:
            folder: Local folder, made if missing.
            converter: Name of what makes the samples, kept in the index.
            arguments: Its arguments, kept in the index; anything JSON holds.
            samples_per_shard: Size of every shard but the last.

        Raises:
            InputError: the folder already holds a complete set of shards, or the shard size is not positive.
        """
        if samples_per_shard < 1:
            raise InputError(f"samples per shard: expected at least 1, got {samples_per_shard}")
        self._folder = Path(folder)
        if (self._folder / INDEX_NAME).exists():
            raise InputError(f"{folder} already holds a complete set of shards: choose another folder or remove it")
        self._description = {"converter": converter, "version": __version__, "arguments": dict(arguments)}
        self._samples_per_shard = samples_per_shard
        self._shards: list[Shard] = []
        self._keys: set[str] = set()
        self._tar: wds.TarWriter | None = None
        self._samples = 0

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def write(self, sample: Mapping[str, Any]) -> None:
        """Append one sample.

        Args:
            sample: `__key__`, a name unlike any other in the folder and without a dot, and the members' bytes by
                extension (`rgba.png`, `json`, …).

        Raises:
            ValueError: the key has a dot, is empty or was written before, or there is nothing but the key.
        """
        key = sample["__key__"]
        if not key or "." in key or key.startswith(("/", "__")):
            raise ValueError(f"sample key: expected a relative name without dots, got {key!r}")
        if key in self._keys:
            raise ValueError(f"sample key {key!r} was already written to {self._folder}")
        if len(sample) < 2:
            raise ValueError(f"sample {key!r} has no members")
        if self._tar is None:
            self._tar = wds.TarWriter(str(self._partial), user="drip", group="drip", encoder=False, mtime=0)
        self._tar.write(dict(sample))
        self._keys.add(key)
        self._samples += 1
        if self._samples == self._samples_per_shard:
            self._finish_shard()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            if self._tar is not None:
                self._tar.close()
                self._partial.unlink()
            return
        if self._tar is not None:
            self._finish_shard()
        if not self._shards:
            raise InputError(f"no samples were written to {self._folder}")
        index = {**self._description, "shards": [asdict(shard) for shard in self._shards]}
        partial = self._folder / f"{INDEX_NAME}.partial"
        partial.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(partial, self._folder / INDEX_NAME)

    @property
    def _name(self) -> str:
        return f"shard-{len(self._shards):06d}.tar"

    @property
    def _partial(self) -> Path:
        return self._folder / f"{self._name}.partial"

    def _finish_shard(self) -> None:
        assert self._tar is not None
        self._tar.close()
        with self._partial.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        shard = Shard(self._name, self._samples, self._partial.stat().st_size, digest)
        os.replace(self._partial, self._folder / shard.name)
        self._shards.append(shard)
        self._tar, self._samples = None, 0
