import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from drip_lightning.errors import InputError
from drip_lightning.sweep import local
from drip_lightning.sweep.local import LocalLauncher
from drip_lightning.sweep.plan import SweepPlan
from drip_lightning.sweep.schedule import State, SweepProgress, run_plan
from drip_lightning.sweep.stage_folder import Finished, StageFolder
from drip_lightning.sweep.stage_job import StageJob
from tests.sweep.fake_drip import run_drip

MakePlan = Callable[..., SweepPlan]
PATIENCE = 60


def _value(*names: str, stage: str = "denoiser") -> dict[str, object]:
    return {"overlays": {stage: [f"{name}.yaml" for name in names]}}


def _run(plan: SweepPlan, folder: Path, *, at_once: int = 1, **options: object) -> SweepProgress:
    launcher = LocalLauncher(run_drip, at_once=at_once)
    launcher.poll_seconds = 0.02
    return run_plan(plan, folder, launcher, run_drip, **options)  # type: ignore[arg-type]


def _calls(folder: Path) -> dict[str, int]:
    """Stage to the times it was begun."""
    return {path.parent.name: len(path.read_text().split()) for path in folder.glob("*/calls")}


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def test_every_stage_runs_once_and_a_finished_sweep_does_nothing(plan: MakePlan, tmp_path: Path) -> None:
    made, finished = plan(), []
    progress = _run(made, tmp_path, on_finished=finished.append)
    assert set(progress.states.values()) == {State.FINISHED}
    assert sorted(finished) == sorted(made.stages)
    assert _calls(tmp_path) == dict.fromkeys(made.stages, 1)
    _run(made, tmp_path, on_finished=finished.append)
    assert _calls(tmp_path) == dict.fromkeys(made.stages, 1)
    assert len(finished) == 2 * len(made.stages)


def test_a_longer_sweep_keeps_what_it_shares(plan: MakePlan, tmp_path: Path) -> None:
    _run(plan(seeds=[0]), tmp_path)
    more = plan(seeds=[0, 1])
    _run(more, tmp_path)
    assert _calls(tmp_path) == dict.fromkeys(more.stages, 1)


@pytest.mark.parametrize(("behaviour", "reason"), [("fail", "exit status 1"), ("break", "exit status 1")])
def test_a_failure_stops_what_builds_on_it_and_nothing_else(
    plan: MakePlan, tmp_path: Path, behaviour: str, reason: str
) -> None:
    made = plan(factors={"variant": {"full": {}, "broken": _value(behaviour)}}, seeds=[0])
    progress = _run(made, tmp_path)
    full, broken = made.runs
    assert all(progress.states[key] is State.FINISHED for key in full.stages.values())
    assert [progress.states[key].name for key in broken.stages.values()] == ["FINISHED", "FAILED", "BLOCKED", "BLOCKED"]
    assert progress.reasons == {broken.stages["denoiser"]: reason}
    last = StageFolder(tmp_path / broken.stages["denoiser"]).last_lines()
    assert last[-1] == {"fail": "the last words", "break": "ZeroDivisionError: ours"}[behaviour]
    again = _run(made, tmp_path)
    assert again.reasons == progress.reasons
    assert _calls(tmp_path)[broken.stages["denoiser"]] == 2
    assert _calls(tmp_path)[full.stages["denoiser"]] == 1


def test_a_killed_stage_goes_on_at_the_next_start(plan: MakePlan, tmp_path: Path) -> None:
    made = plan(factors={"variant": {"full": _value("die")}}, seeds=[0])
    key = made.runs[0].stages["denoiser"]
    assert _run(made, tmp_path).reasons == {key: "killed by SIGKILL"}
    assert not _run(made, tmp_path).reasons
    assert _calls(tmp_path) == dict.fromkeys(made.stages, 1) | {key: 2}


def test_a_stage_that_the_watchdog_ends_has_failed_and_is_not_begun_again(plan: MakePlan, tmp_path: Path) -> None:
    made = plan(factors={"variant": {"full": _value("stuck")}}, seeds=[0])
    key = made.runs[0].stages["denoiser"]
    assert _run(made, tmp_path).reasons == {key: "exit status 70"}
    assert _calls(tmp_path)[key] == 1


def test_several_at_a_time(plan: MakePlan, tmp_path: Path) -> None:
    factors = {"variant": {"x": _value("wait"), "y": _value("wait", "worse")}}
    made = plan(factors=factors, seeds=[0])
    keys = {run.stages["denoiser"] for run in made.runs}
    # a kind whose need of memory is known; else its first would be alone
    done = tmp_path / "denoiser-before"
    done.mkdir()
    StageFolder(done).finish(Finished(seconds=1, peak_bytes=1, ended=0))
    most = 0

    def show(progress: SweepProgress) -> None:
        nonlocal most
        most = max(most, sum(progress.states[key] is State.RUNNING for key in keys))
        if most == 2:
            (tmp_path / "go").touch()

    progress = _run(made, tmp_path, at_once=2, show=show)
    assert set(progress.states.values()) == {State.FINISHED}


def _interrupt_when_running(key: str) -> Callable[[SweepProgress], None]:
    def show(progress: SweepProgress) -> None:
        if progress.states[key] is State.RUNNING:
            raise KeyboardInterrupt

    return show


def test_interrupted_it_ends_its_stages_and_goes_on_later(plan: MakePlan, tmp_path: Path) -> None:
    made = plan(factors={"variant": {"full": _value("wait")}}, seeds=[0])
    key = made.runs[0].stages["denoiser"]
    with pytest.raises(KeyboardInterrupt):
        _run(made, tmp_path, show=_interrupt_when_running(key))
    assert not StageFolder(tmp_path / key).is_running()
    assert StageFolder(tmp_path / key).finished() is None
    (tmp_path / "go").touch()
    assert set(_run(made, tmp_path).states.values()) == {State.FINISHED}
    assert _calls(tmp_path)[made.runs[0].stages["autoencoder"]] == 1


def test_a_stage_that_outlives_a_killed_sweep_is_waited_for(plan: MakePlan, tmp_path: Path) -> None:
    made = plan(factors={"variant": {"full": _value("wait")}}, seeds=[0])
    made.save(tmp_path)
    program = (
        "import sys; from pathlib import Path\n"
        "from drip_lightning.sweep.local import LocalLauncher; from drip_lightning.sweep.plan import SweepPlan\n"
        "from drip_lightning.sweep.schedule import run_plan; from tests.sweep.fake_drip import run_drip\n"
        "if __name__ == '__main__':\n"
        "    folder = Path(sys.argv[1])\n"
        "    run_plan(SweepPlan.load(folder), folder / 'stages', LocalLauncher(run_drip), run_drip)\n"
    )
    (tmp_path / "driver.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
    driver = subprocess.Popen([sys.executable, str(tmp_path / "driver.py"), str(tmp_path)], env=environment)
    stages = tmp_path / "stages"
    key = made.runs[0].stages["denoiser"]
    _wait_for(lambda: key in _calls(stages))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert StageFolder(stages / key).is_running()

    def show(progress: SweepProgress) -> None:
        if progress.states[key] is State.RUNNING:
            (stages / "go").touch()

    assert set(_run(made, stages, show=show).states.values()) == {State.FINISHED}
    assert _calls(stages) == dict.fromkeys(made.stages, 1)


def test_what_another_process_works_on_is_not_begun(plan: MakePlan, tmp_path: Path) -> None:
    made = plan(seeds=[0])
    key = made.runs[0].stages["autoencoder"]
    with StageFolder(tmp_path / key).locked() as free:
        assert free
        held = StageFolder(tmp_path / key)
        assert held.is_running()
        with pytest.raises(KeyboardInterrupt):
            _run(made, tmp_path, show=_interrupt_when_running(key))
    assert _calls(tmp_path) == {}


def test_memory_decides_what_starts(plan: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan()
    jobs = [StageJob(stage, tmp_path, run_drip) for stage in made.stages.values() if stage.kind == "denoiser"]
    for job in jobs:
        job.folder.path.mkdir()
    (tmp_path / "go").touch()
    launcher = LocalLauncher(run_drip, at_once=4)
    assert launcher.start(jobs[:3]) == [jobs[0].stage.key]  # nobody knows yet what the kind needs
    ended: dict[str, str] = {}
    _wait_for(lambda: bool(ended.update(launcher.ended()) or ended))
    assert ended == {jobs[0].stage.key: ""}
    done = jobs[0].folder.finished()
    assert done is not None
    assert 1 << 20 < done.peak_bytes < 1 << 40
    monkeypatch.setattr(local, "available_bytes", lambda: done.peak_bytes - 1)
    with pytest.raises(InputError, match=r"a denoiser stage needs about .* GiB of memory and .* GiB are free"):
        launcher.start(jobs[1:])
    monkeypatch.setattr(local, "available_bytes", lambda: done.peak_bytes)
    assert launcher.start(jobs[1:]) == [job.stage.key for job in jobs[1:]]
    launcher.stop()


def test_less_than_one_at_a_time() -> None:
    with pytest.raises(InputError, match="at least one stage at a time, got 0"):
        LocalLauncher(run_drip, at_once=0)
