"""Results picture by picture, written at once and for good, so that an interrupted evaluation can be resumed."""

import json
import os
import shutil
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypedDict

from drip_lightning.errors import InputError, RunError, raised_as
from drip_lightning.evaluation.measure import Scores
from drip_lightning.evaluation.plan import Task
from drip_lightning.files import write_text_whole


class Result(TypedDict):
    """One task's outcome: what was measured of each row, or why the picture could not be."""

    method: str
    number: int
    seed: int
    steps: int | None
    key: str
    height: int
    width: int
    unknown_pixels: int
    seconds: float
    rows: dict[str, Scores]
    error: str | None


class Journal:
    """The folder that an evaluation's results are collected in, one file a rank, one line a task.

    A line is on the disk before the next task begins. An incomplete last line does not count.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, protocol: dict[str, Any], *, overwrite: bool) -> None:
        """Begin, or resume with the same protocol.

        Raises:
            InputError: the folder holds results of another protocol, or cannot be written.
        """
        file = self.folder / "protocol.json"
        if file.is_file():
            before = json.loads(file.read_text())
            if _without_places(before) == _without_places(protocol):
                return
            if not overwrite and self.results():
                raise InputError(_told_apart(self.folder.parent, before, protocol))
        place = self.folder.parent
        with raised_as(InputError, OSError, message=lambda reason: f"cannot write to {place} ({reason})"):
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            write_text_whole(file, json.dumps(protocol, indent=1) + "\n")

    def results(self) -> list[Result]:
        """Everything measured so far, in no order; what failed is in `failures`."""
        return [line for line in self._lines() if line["error"] is None]

    def failures(self) -> dict[int, str]:
        """Why pictures could not be measured, by their number."""
        return {line["number"]: line["error"] for line in self._lines() if line["error"] is not None}

    def add(self, result: Result, *, rank: int) -> None:
        """Append one result; it is on the disk when this returns.

        Raises:
            RunError: it cannot be written.
        """
        with writing_to(self.folder), (self.folder / f"rank-{rank}.jsonl").open("a+b") as stream:
            if stream.tell() and not _ends_whole(stream):
                stream.write(b"\n")
            stream.write(json.dumps(result).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    def _lines(self) -> Iterable[Result]:
        for file in sorted(self.folder.glob("rank-*.jsonl")):
            for line in file.read_bytes().split(b"\n"):
                try:
                    yield json.loads(line)
                except ValueError:
                    continue  # broken off while it was written


def writing_to(place: Path) -> AbstractContextManager[None]:
    """Raise what the disk refuses as a `RunError`: it is full, or read-only by now."""
    advice = "free some space or choose another --out, and run it again: what was measured is kept"
    return raised_as(RunError, OSError, message=lambda why: f"cannot write to {place} ({why}): {advice}")


def task_of(result: Result) -> tuple[str, Task]:
    """Which method's which task a result is of."""
    return result["method"], Task(result["number"], result["seed"], result["steps"])


def _ends_whole(stream: Any) -> bool:
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) == b"\n"


def _without_places(protocol: Any) -> Any:
    """A protocol but for where things were: shards and weights are known by their digests."""
    if isinstance(protocol, dict):
        return {name: _without_places(value) for name, value in protocol.items() if name not in ("data", "source")}
    return [_without_places(value) for value in protocol] if isinstance(protocol, list) else protocol


def _told_apart(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> str:
    different = [name for name in now if _without_places(before.get(name)) != _without_places(now[name])]
    name = different[0] if different else "format"
    values = f": {before.get(name)}, not {now.get(name)}" if name not in ("methods", "shards") else ""
    return (
        f"{folder} holds results of another protocol ({name}{values}): choose another --out, or replace them with "
        "--overwrite"
    )
