"""Faults at random, for as long as one likes: `make chaos`, or `python -m tests.chaos --count 200 --seed 7`.

Each round makes a run of one of the variations, lets one to three faults befall it, lets it end, and compares it bit
for bit with the same run without faults: the last checkpoint and every logged step.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from drip_lightning.data.synth.folders import synthesise
from drip_lightning.data.synth.samples import SynthSettings
from tests.faults import (
    STATUS,
    STEPS,
    VARIATIONS,
    WRITING,
    Fault,
    damage,
    failing_sample,
    failing_step,
    failing_validation,
    full_disk,
    launch,
    signal_after,
    signal_in_step,
    signal_in_validation,
    signal_in_writing,
    variation_arguments,
)
from tests.runs import STAGES, tiny_arguments
from tests.same_run import differences, logged


class Rounds:
    """What the rounds share: data, the stages that others build on, and each variation without a fault."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.struck: Counter[str] = Counter()
        self.survived: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self._unbroken: dict[str, tuple[Path, float]] = {}
        self._data, self._runs = folder / "data", folder / "runs"
        counts = {"foregrounds": 7, "backgrounds": 4, "evaluation": 2}
        synthesise(self._data, counts=counts, settings=SynthSettings(size=64), workers=1)
        for stage in STAGES:
            self._launch(tiny_arguments(stage, self._data, self._runs), self._runs)

    def round(self, number: int, choose: random.Random) -> None:
        """One run, its faults, and the comparison."""
        variation = choose.choice(sorted(VARIATIONS))
        unbroken, seconds = self._reference(variation)
        folder = self.folder / f"round{number}"
        folder.mkdir()
        arguments = variation_arguments(variation, self._data, self._runs, folder)
        struck = []
        for _ in range(choose.randint(1, 3)):
            fault = _draw(choose, seconds)
            if self._launch(arguments, folder, fault):
                struck.append(fault.name)
            if choose.random() < 0.2 and damage(folder, choose.random(), cut=(cut := choose.random() < 0.5)):
                struck.append("newest checkpoint cut off" if cut else "newest checkpoint's bit flipped")
        self._launch(arguments, folder)
        found = differences(folder, unbroken)
        steps, expected = (
            Counter(step for name, step, _ in logged(path) if name == "train/loss") for path in (folder, unbroken)
        )
        lost = ((steps - expected) + (expected - steps)).total()
        for name in struck:
            self.struck[name] += 1
            self.survived[name] += not found
            self.lost[name] += lost
        if found:
            print(f"round {number}: {variation}: {', '.join(struck)}: {found[:4]} (kept in {folder})", file=sys.stderr)
        else:
            shutil.rmtree(folder)

    def table(self) -> Table:
        """Faults of each kind, how many of them nobody can tell from the result, and steps lost or doubled."""
        table = Table("fault", "struck", "survived", "lost steps")
        for name in sorted(self.struck):
            table.add_row(name, str(self.struck[name]), str(self.survived[name]), str(self.lost[name]))
        totals = (sum(counter.values()) for counter in (self.struck, self.survived, self.lost))
        table.add_section()
        table.add_row("all", *map(str, totals))
        return table

    def _reference(self, variation: str) -> tuple[Path, float]:
        if variation not in self._unbroken:
            folder = self.folder / f"unbroken {variation}"
            folder.mkdir()
            started = time.monotonic()
            self._launch(variation_arguments(variation, self._data, self._runs, folder), folder)
            self._unbroken[variation] = folder, time.monotonic() - started
        return self._unbroken[variation]

    def _launch(self, arguments: list[str], folder: Path, fault: Fault | None = None) -> int:
        folder.mkdir(exist_ok=True)
        status = launch(arguments, folder / "output.txt", fault)
        if status not in ((*fault.statuses, 0) if fault else (0,)):  # 0: the run was over before it struck
            sys.exit(f"{fault or 'no fault'}: exit status {status}; see {folder / 'output.txt'}")
        return status


def _draw(choose: random.Random, seconds: float) -> Fault:
    signals = sorted(STATUS)
    number = choose.choice(signals)
    return choose.choice(
        [
            *[signal_after(number, choose.uniform(0, seconds))] * 4,
            signal_in_step(number, choose.randint(1, STEPS)),
            signal_in_validation(number, choose.randint(1, 4)),
            *[signal_in_writing(number, choose.choice(sorted(WRITING)), choose.randint(1, 3))] * 2,
            failing_sample(choose.randint(1, 2 * STEPS)),
            failing_step(choose.randint(1, STEPS)),
            failing_validation(choose.randint(1, 4)),
            full_disk(choose.randint(1, 3)),
        ]
    )


def main() -> int:
    """Run rounds until there were enough faults, or time is up; 1 if any was not survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="stop after this many faults (default: 100)")
    parser.add_argument("--minutes", type=float, default=30, help="or after this time (default: 30)")
    parser.add_argument("--seed", type=int, default=None, help="of the choice of faults (default: another each time)")
    given = parser.parse_args()
    seed = random.randrange(1 << 16) if given.seed is None else given.seed
    choose, started = random.Random(seed), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="chaos"))
    rounds = Rounds(folder)
    ended = 0
    for ended in track(range(1, given.count + 1), description="rounds", console=Console(stderr=True)):
        rounds.round(ended, choose)
        if sum(rounds.struck.values()) >= given.count or time.monotonic() - started > 60 * given.minutes:
            break
    minutes = (time.monotonic() - started) / 60
    console = Console()
    console.print(rounds.table())
    console.print(f"{ended} runs, {minutes:.1f} minutes, --seed {seed}")
    if rounds.survived != rounds.struck:
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
