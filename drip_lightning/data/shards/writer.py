"""Folders of WebDataset shards, written whole: a folder with an `index.json` is complete."""

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import webdataset as wds

from drip_lightning import __version__
from drip_lightning.data.shards.index import INDEX_NAME, Shard
from drip_lightning.errors import InputError, RunError, raised_as
from drip_lightning.files import lock, put_in_place, write_text_whole

JOURNAL_NAME = f"{INDEX_NAME}.partial"
"""What a resumable writer has finished so far; gone when the index is there."""


class ShardWriter:
    """Writes samples into `shard-000000.tar`, `shard-000001.tar`, …; the same samples always give the same bytes.

    A shard gets its name when it is whole, and `index.json` is written last: a folder with an index is complete.
    An exception inside the `with` block leaves no index.

        with ShardWriter("data/train", converter="synth", arguments={"seed": 0}, samples_per_shard=100) as writer:
            writer.write({"__key__": "000000", "rgba.png": png})

    With `resume`, the shards that an interrupted writer of the same arguments has finished are kept, and the caller
    resumes from there: `progress` and `report` are then what they were when the last of them was finished.

    Attributes:
        report: What the converter has to say about the samples, kept in the index; anything JSON holds.
        progress: What the converter needs to resume after an interruption; anything JSON holds.
        describe: Is called when a shard is finished, and at the end, to bring `report` and `progress` up to date.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        converter: str,
        arguments: Mapping[str, Any],
        samples_per_shard: int,
        bytes_per_shard: int | None = None,
        licence: str | None = None,
        resume: bool = False,
    ) -> None:
        """Describe the folder to be made; nothing is written before the `with` block.

        Args:
            folder: Local folder, made if missing.
            converter: Name of what makes the samples, kept in the index.
            arguments: Its arguments, kept in the index; anything JSON holds.
            samples_per_shard: Size of every shard but the last, unless it gets too big before.
            bytes_per_shard: Finish a shard, too, when its members have so many bytes; None sets no bound.
            licence: What may be done with the samples, kept in the index.
            resume: Continue after the finished shards of an interrupted writer; without it they are written anew.

        Raises:
            InputError: the folder already holds a complete set of shards, or the shard size is not positive.
        """
        if samples_per_shard < 1:
            raise InputError(f"samples per shard: expected at least 1, got {samples_per_shard}")
        self._folder = Path(folder)
        if (self._folder / INDEX_NAME).exists():
            raise InputError(f"{folder} already holds a complete set of shards: choose another folder or remove it")
        # As JSON gives them back, so that they compare equal when they come from a journal.
        self._description = json.loads(
            json.dumps({"converter": converter, "version": __version__, "arguments": dict(arguments)})
        )
        self._licence = licence
        self._samples_per_shard = samples_per_shard
        self._bytes_per_shard = bytes_per_shard
        self._resume = resume
        self.report: dict[str, Any] = {}
        self.progress: dict[str, Any] = {}
        self.describe: Callable[[], None] = lambda: None
        self._shards: list[Shard] = []
        self._keys: set[str] = set()
        self._tar: wds.TarWriter | None = None
        self._ends: list[tuple[str, int]] = []
        self._bytes = 0
        self._made_folder = False
        self._lock = ExitStack()
        """Keeps others from writing to the folder."""

    @property
    def samples(self) -> int:
        """Samples in the finished shards."""
        return sum(shard.samples for shard in self._shards)

    @property
    def finished(self) -> list[Path]:
        """The finished shards."""
        return [self._folder / shard.name for shard in self._shards]

    def __enter__(self) -> Self:
        with ExitStack() as undone_if_this_fails:
            with self._writing():
                self._made_folder = not self._folder.exists()
                self._folder.mkdir(parents=True, exist_ok=True)
                is_alone = undone_if_this_fails.enter_context(lock(self._folder, wait=False))
            if not is_alone:
                raise InputError(f"another process is writing to {self._folder}: wait for it, or choose another folder")
            if self._resume and (self._folder / JOURNAL_NAME).exists():
                self._take_over()
            self._lock = undone_if_this_fails.pop_all()
        return self

    def write(self, sample: Mapping[str, Any]) -> None:
        """Append one sample; what `describe` says must include it by then.

        Args:
            sample: `__key__`, a name unlike any other in the folder and without a dot, and the members' bytes by
                extension (`rgba.png`, `json`, …).

        Raises:
            ValueError: the key has a dot, is empty or was written before, or there is nothing but the key.
            RunError: the disk is full, or does not take it for another reason.
        """
        key = sample["__key__"]
        if not key or "." in key or key.startswith(("/", "__")):
            raise ValueError(f"sample key: expected a relative name without dots, got {key!r}")
        if key in self._keys:
            raise ValueError(f"sample key {key!r} was already written to {self._folder}")
        if len(sample) < 2:
            raise ValueError(f"sample {key!r} has no members")
        with self._writing():
            if self._tar is None:
                self._tar = wds.TarWriter(str(self._partial), user="drip", group="drip", encoder=False, mtime=0)
            self._tar.write(dict(sample))
            self._keys.add(key)
            self._ends.append((key, self._tar.tarstream.offset))
            self._bytes += sum(len(member) for member in sample.values() if isinstance(member, bytes))
            is_big = self._bytes_per_shard is not None and self._bytes >= self._bytes_per_shard
            if len(self._ends) == self._samples_per_shard or is_big:
                self._finish_shard()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is not None:
                self._drop_shard()
                return
            with self._writing():
                if self._tar is not None:
                    self._finish_shard()
                if not self._shards:
                    raise InputError(f"no samples were written to {self._folder}")
                self.describe()
                self._replace(INDEX_NAME, self._index)
                (self._folder / JOURNAL_NAME).unlink(missing_ok=True)
        finally:
            self._lock.close()

    @property
    def _name(self) -> str:
        return f"shard-{len(self._shards):06d}.tar"

    @property
    def _partial(self) -> Path:
        return self._folder / f"{self._name}.partial"

    @property
    def _index(self) -> dict[str, Any]:
        said = {"licence": self._licence, "report": self.report}
        return {
            **self._description,
            **{name: value for name, value in said.items() if value},
            "shards": [asdict(shard) for shard in self._shards],
        }

    def _finish_shard(self) -> None:
        assert self._tar is not None
        self._tar.close()
        digest, contents, start = hashlib.sha256(), list[str](), 0
        with self._partial.open("rb") as stream:
            for key, end in self._ends:
                content = stream.read(end - start)
                digest.update(content)
                contents.append(f"{key} {start} {len(content)} {zlib.crc32(content):08x}")
                start = end
            digest.update(stream.read())
        shard = Shard(self._name, len(contents), self._partial.stat().st_size, digest.hexdigest(), contents)
        put_in_place(self._partial, self._folder / shard.name)
        self._shards.append(shard)
        self._tar, self._ends, self._bytes = None, [], 0
        if self._resume:
            self.describe()
            self._replace(JOURNAL_NAME, {**self._index, "report": self.report, "progress": self.progress})

    def _drop_shard(self) -> None:
        if self._tar is not None:
            with suppress(OSError):  # the disk that was full for a sample is full for the end of the file, too
                self._tar.close()
            self._partial.unlink(missing_ok=True)
        if self._made_folder:
            with suppress(OSError):  # not empty
                self._folder.rmdir()

    def _replace(self, name: str, content: Mapping[str, Any]) -> None:
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        write_text_whole(self._folder / name, text)

    def _take_over(self) -> None:
        """Take over what an interrupted writer has finished."""
        journal = json.loads((self._folder / JOURNAL_NAME).read_text(encoding="utf-8"))
        for name, value in self._description.items():
            if journal[name] != value:
                what = difference(journal[name], value) if name == "arguments" else f"{journal[name]} is not {value}"
                raise InputError(
                    f"{self._folder} was begun with another {name.rstrip('s')} ({what}): give the same again, choose "
                    "another folder, or remove it"
                )
        self._shards = [Shard(**shard) for shard in journal["shards"]]
        for shard in self._shards:
            file = self._folder / shard.name
            if not file.is_file() or file.stat().st_size != shard.bytes:
                raise InputError(f"{file} is missing or cut short: remove {self._folder} and begin again")
        self.report, self.progress = journal["report"], journal["progress"]

    def _writing(self) -> AbstractContextManager[None]:
        kept = "; finished shards are kept, run again to resume"
        return raised_as(
            RunError,
            OSError,
            message=lambda reason: (
                f"cannot write to {self._folder} ({reason}){kept if self._resume and self._shards else ''}"
            ),
        )


def unexpected_files(folder: Path) -> list[str]:
    """Names of the files in a folder that no interrupted `ShardWriter` has written; none for a missing folder."""
    if not folder.is_dir():
        return []
    journal = folder / JOURNAL_NAME
    finished = len(json.loads(journal.read_text(encoding="utf-8"))["shards"]) if journal.exists() else 0
    # The journal is written after its newest shard, so there may be one more, and the beginning of another.
    own = {f"shard-{number:06d}.tar{end}" for number in range(finished + 1) for end in ("", ".partial")}
    own |= {JOURNAL_NAME, f".partial-{JOURNAL_NAME}", f".partial-{INDEX_NAME}"}
    return sorted(set(os.listdir(folder)) - own)


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first argument that two runs do not share, as `name: before, now`."""
    name = next(name for name in sorted({*before, *now}) if before.get(name) != now.get(name))
    return f"{name}: {before.get(name)} then, {now.get(name)} now"
