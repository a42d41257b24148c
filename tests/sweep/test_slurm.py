import time
from collections.abc import Callable
from pathlib import Path

import pytest

from drip_lightning.errors import InputError
from drip_lightning.sweep.plan import SweepPlan
from drip_lightning.sweep.schedule import State, SweepProgress, run_plan
from drip_lightning.sweep.slurm import SlurmLauncher
from drip_lightning.sweep.stage_folder import StageFolder
from tests.slurm import Slurm
from tests.sweep.fake_drip import run_drip

pytest.importorskip("submitit")
MakePlan = Callable[..., SweepPlan]


def _calls(folder: Path) -> dict[str, int]:
    return {path.parent.name: len(path.read_text().split()) for path in folder.glob("*/calls")}


@pytest.mark.slow
def test_submitits_local_executor_makes_the_same_folders(plan: MakePlan, tmp_path: Path) -> None:
    made = plan(factors={"variant": {"full": {}, "broken": {"overlays": {"decoder": ["fail.yaml"]}}}}, seeds=[0])
    launcher = SlurmLauncher(tmp_path / "slurm", cluster="local")
    progress = run_plan(made, tmp_path / "stages", launcher, run_drip)
    full, broken = made.runs
    assert {progress.states[key] for key in full.stages.values()} == {State.FINISHED}
    (reason,) = progress.reasons.values()
    assert reason.endswith("exit status 1")
    folder = StageFolder(tmp_path / "stages" / broken.stages["decoder"])
    assert folder.last_lines()[-1] == "the last words"
    assert set(_calls(tmp_path / "stages").values()) == {1}
    names = {path.name for path in (tmp_path / "stages" / full.stages["denoiser"]).iterdir()}
    assert {"config.yaml", "finished.json", "log.txt", "lock", "checkpoints"} <= names
    assert len(list((tmp_path / "stages" / full.stages["test"]).glob("per_image.csv"))) == 1


def test_without_slurm_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="there is no Slurm here to submit to"):
        SlurmLauncher(tmp_path)


def test_an_unknown_option_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--slurm: .*colour"):
        SlurmLauncher(tmp_path, cluster="local", parameters={"colour": "red"})


@pytest.mark.slurm
def test_a_real_slurm_runs_arrays_and_a_second_sweep_finds_them(
    slurm_here: Slurm, plan: MakePlan, tmp_path: Path
) -> None:
    waiting = {"overlays": {"denoiser": ["wait.yaml"]}}
    other = {"overlays": {"denoiser": ["wait.yaml", "worse.yaml"]}}
    made = plan(factors={"variant": {"full": waiting, "other": other}}, seeds=[0])
    keys = [run.stages["denoiser"] for run in made.runs]
    stages = tmp_path / "stages"

    def launcher() -> SlurmLauncher:
        launcher = SlurmLauncher(tmp_path / "slurm", parameters={"time": 5})
        launcher.poll_seconds = 0.5
        return launcher

    def interrupt(progress: SweepProgress) -> None:
        if all(StageFolder(stages / key).is_running() for key in keys):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_plan(made, stages, launcher(), run_drip, show=interrupt)
    numbers = {(stages / key / "slurm_job").read_text().strip() for key in keys}
    assert len({number.split("_")[0] for number in numbers}) == 1  # one array
    assert numbers <= set(slurm_here.run("squeue", "--noheader", "--array", "--format=%i").split())

    began = time.monotonic()

    def go(progress: SweepProgress) -> None:
        if time.monotonic() > began + 2:
            (stages / "go").touch()

    progress = run_plan(made, stages, launcher(), run_drip, show=go)
    assert set(progress.states.values()) == {State.FINISHED}
    assert _calls(stages) == dict.fromkeys(made.stages, 1)


@pytest.mark.slurm
def test_a_job_that_slurm_ends_is_a_failure_told(slurm_here: Slurm, plan: MakePlan, tmp_path: Path) -> None:
    made = plan(factors={"variant": {"full": {"overlays": {"denoiser": ["wait.yaml"]}}}}, seeds=[0])
    key, stages = made.runs[0].stages["denoiser"], tmp_path / "stages"
    launcher = SlurmLauncher(tmp_path / "slurm", parameters={"time": 5})
    launcher.poll_seconds = 0.5
    cancelled = []

    def cancel(progress: SweepProgress) -> None:
        if StageFolder(stages / key).is_running() and not cancelled:
            cancelled.append(
                slurm_here.run("scancel", "--signal=KILL", (stages / key / "slurm_job").read_text().strip())
            )

    progress = run_plan(made, stages, launcher, run_drip, show=cancel)
    assert progress.states[key] is State.FAILED
    assert progress.reasons[key].startswith("job ")


@pytest.mark.slurm
def test_a_preempted_stage_is_requeued_and_goes_on(slurm_here: Slurm, plan: MakePlan, tmp_path: Path) -> None:
    made = plan(factors={"variant": {"full": {"overlays": {"denoiser": ["wait.yaml"]}}}}, seeds=[0])
    key, stages = made.runs[0].stages["denoiser"], tmp_path / "stages"
    launcher = SlurmLauncher(tmp_path / "slurm", parameters={"time": 60})
    launcher.poll_seconds = 0.5
    preempted = []

    def preempt(progress: SweepProgress) -> None:
        if _calls(stages).get(key) == 1 and not preempted:
            preempted.append(
                slurm_here.run("scancel", "--signal=USR2", (stages / key / "slurm_job").read_text().strip())
            )
        if _calls(stages).get(key) == 2:
            (stages / "go").touch()

    progress = run_plan(made, stages, launcher, run_drip, show=preempt)
    assert set(progress.states.values()) == {State.FINISHED}
    assert _calls(stages) == dict.fromkeys(made.stages, 1) | {key: 2}
