"""A stage's folder: who works in it, how far it is, and whether it is finished."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from drip_lightning.files import lock, write_text_whole


@dataclass(frozen=True)
class Finished:
    """What a finished stage leaves behind.

    Attributes:
        seconds: Time it took, with earlier attempts that ended by themselves; one that was killed left no record.
        peak_bytes: Most memory that its process and its workers held, in bytes; the last attempt's.
        ended: When it finished, in seconds since 1970.
    """

    seconds: float
    peak_bytes: int
    ended: float


@dataclass(frozen=True)
class StageFolder:
    """The run folder of a stage, which also holds `lock`, `log.txt`, `seconds` and `finished.json`.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def log(self) -> Path:
        """What the stage printed, all attempts one after another."""
        return self.path / "log.txt"

    def finished(self) -> Finished | None:
        """What it left behind; none if it is not finished."""
        try:
            return Finished(**json.loads((self.path / "finished.json").read_text()))
        except FileNotFoundError:
            return None

    def finish(self, finished: Finished) -> None:
        """Mark it as finished, in one instant."""
        write_text_whole(self.path / "finished.json", json.dumps(asdict(finished)) + "\n")

    def seconds_before(self) -> float:
        """Time that attempts which did not finish took."""
        try:
            return float((self.path / "seconds").read_text())
        except FileNotFoundError:
            return 0.0

    def add_seconds(self, seconds: float) -> None:
        """Count an attempt that did not finish."""
        write_text_whole(self.path / "seconds", f"{self.seconds_before() + seconds:.1f}\n")

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the stage against every other process on this file system, until the process ends at the latest.

        Yields:
            Whether it was free; if not, somebody works on it and nothing is held.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with lock(self.path / "lock", wait=False) as is_held:
            yield is_held

    def is_running(self) -> bool:
        """Whether any process works on it."""
        if not (self.path / "lock").exists():
            return False
        with self.locked() as free:
            return not free

    def steps_done(self) -> int:
        """Training steps of its newest checkpoint; 0 without one."""
        numbers = (re.search(r"step=(\d+)", path.name) for path in self.path.glob("checkpoints/*step=*.ckpt"))
        return max((int(number[1]) for number in numbers if number), default=0)

    def last_lines(self, count: int = 5) -> list[str]:
        """The end of the log, without empty lines."""
        if not self.log.is_file():
            return []
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 20_000))
            lines = log.read().decode(errors="replace").splitlines()
        return [line.rstrip() for line in lines if line.strip()][-count:]
