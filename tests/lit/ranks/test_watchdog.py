import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from drip_lightning.data.datasets import TrainingLayers
from drip_lightning.errors import ExitStatus, InputError
from drip_lightning.lit.matting import MattingStage
from drip_lightning.lit.ranks.watchdog import Watchdog
from drip_lightning.lit.resume import checkpoint_io
from tests.ranks import started
from tests.runs import tiny_arguments

WARN = "--watchdog.warn_after_s=1.5"


def _stuck_after(calls: int, function: Any, rank: str = "0") -> Any:
    """The function, but its next call after so many takes a minute on one rank."""
    done = 0

    def wrapper(*arguments: Any, **options: Any) -> Any:
        nonlocal done
        done += 1
        if done > calls and os.environ.get("LOCAL_RANK", "0") == rank:
            time.sleep(60)
        return function(*arguments, **options)

    return wrapper


def _reports(arguments: list[str], ranks: int, folder: Path, *, abort_after_s: float = 6) -> list[tuple[str, str]]:
    """Each rank's last report: rank and phase. The watchdog is to end all of them."""
    arguments = [*arguments, WARN, f"--watchdog.abort_after_s={abort_after_s}", f"--trainer.devices={ranks}"]
    with started([arguments] * ranks, folder) as all_ranks:
        assert [rank.wait() for rank in all_ranks] == [ExitStatus.STUCK] * ranks, all_ranks[0].output
        found = []
        for rank in all_ranks:
            pattern = r"watchdog: rank (\d) of \d stuck for (\d+) s (.*) \(\w+, \S+:\d+\)(; ending the run)?\n"
            reports = re.findall(pattern, rank.output)
            assert [bool(report[3]) for report in reports][-2:] == [False, True]
            assert reports[-1][0] in rank.log.stem
            assert int(reports[0][1]) < int(reports[-1][1])
            found.append((reports[-1][0], reports[-1][2]))
        return found


@pytest.mark.slow
def test_waiting_for_data_and_for_each_other(
    synth: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second rank's data do not come: it says so, and the first one that it waits in a collective."""
    monkeypatch.setattr(TrainingLayers, "__getitem__", _stuck_after(2, TrainingLayers.__getitem__, rank="1"))
    arguments = tiny_arguments("denoiser", synth, runs, f"--trainer.default_root_dir={tmp_path}/run")
    first, second = _reports(arguments, 2, tmp_path)
    assert first[1] in (
        "in a collective, waiting for other ranks",
        "in the backward pass, or waiting for other ranks' gradients",
    )
    assert second == ("1", "waiting for data")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name", "calls", "phase"),
    [
        (checkpoint_io, "_write_with_checksum", 0, "writing a checkpoint, in validation"),
        (MattingStage, "validation_step", 1, "in validation"),
        (MattingStage, "log_losses", 1, "in the training step"),
    ],
)
def test_other_phases(
    synth: Path,
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    calls: int,
    phase: str,
) -> None:
    monkeypatch.setattr(module, name, _stuck_after(calls, getattr(module, name)))
    arguments = tiny_arguments("denoiser", synth, runs, f"--trainer.default_root_dir={tmp_path}/run")
    assert _reports(arguments, 1, tmp_path, abort_after_s=3) == [("0", phase)]


@pytest.mark.parametrize("seconds", [(0, None), (1, 0), (-1, None)])
def test_impossible_seconds_are_refused(seconds: tuple[float, float | None]) -> None:
    with pytest.raises(InputError, match="watchdog: expected seconds above 0"):
        Watchdog(*seconds)
