import io
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from drip_lightning.sweep.display import SweepDisplay
from drip_lightning.sweep.plan import SweepPlan
from drip_lightning.sweep.schedule import State, SweepProgress
from drip_lightning.sweep.stage_folder import Finished, StageFolder


def _finish(folder: Path, seconds: float) -> None:
    folder.mkdir(parents=True)
    StageFolder(folder).finish(Finished(seconds=seconds, peak_bytes=1, ended=0))


def test_elsewhere_it_prints_a_line_for_each_change(plan: Callable[..., SweepPlan], tmp_path: Path) -> None:
    made, stream = plan(seeds=[0]), io.StringIO()
    full, worse, _ = made.runs
    progress = SweepProgress(dict.fromkeys(made.stages, State.WAITING))
    with SweepDisplay(made, tmp_path, at_once=1, console=Console(file=stream, width=200)) as display:
        display(progress)
        progress.states[full.stages["autoencoder"]] = State.RUNNING
        display(progress)
        display(progress)
        _finish(tmp_path / full.stages["autoencoder"], 75)
        progress.states[full.stages["autoencoder"]] = State.FINISHED
        progress.states[worse.stages["denoiser"]] = State.FAILED
        progress.reasons[worse.stages["denoiser"]] = "killed by SIGKILL"
        display(progress)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert "autoencoder  running  full-seed0 and 2 more" in lines[0]
    assert "autoencoder  finished in 1 min" in lines[1]
    assert "denoiser     failed (killed by SIGKILL)  without_attention-seed0" in lines[2]


def test_what_was_finished_before_is_one_line(plan: Callable[..., SweepPlan], tmp_path: Path) -> None:
    made, stream = plan(seeds=[0]), io.StringIO()
    states = dict.fromkeys(made.stages, State.WAITING) | {made.runs[0].stages["autoencoder"]: State.FINISHED}
    with SweepDisplay(made, tmp_path, at_once=1, console=Console(file=stream)) as display:
        display(SweepProgress(states))
    assert stream.getvalue() == "1 of 8 stages are finished already\n"


def test_the_estimate_is_what_stages_of_the_kind_have_taken(plan: Callable[..., SweepPlan], tmp_path: Path) -> None:
    made = plan(seeds=[0])
    display = SweepDisplay(made, tmp_path, at_once=2, console=Console(file=io.StringIO()))
    states = dict.fromkeys(made.stages, State.WAITING)
    assert display.rest(SweepProgress(states)) == "[0/8 stages]"
    for kind, seconds in (("autoencoder", 600), ("denoiser", 1200), ("decoder", 600)):
        key = made.runs[0].stages[kind]
        _finish(tmp_path / key, seconds)
        states[key] = State.FINISHED
    # one denoiser and one decoder are left, two at a time; nobody knows how long the three tests take
    assert display.rest(SweepProgress(states)) == "[3/8 stages, more than 15 min left]"
    for run in made.runs:
        _finish(tmp_path / run.stages["test"], 0)
    states = dict.fromkeys(states, State.FINISHED)
    assert display.rest(SweepProgress(states)) == "[8/8 stages]"


def test_on_a_terminal_it_is_one_line_a_run(plan: Callable[..., SweepPlan], tmp_path: Path) -> None:
    made, stream = plan(seeds=[0]), io.StringIO()
    key = made.runs[0].stages["denoiser"]
    (tmp_path / key / "checkpoints").mkdir(parents=True)
    (tmp_path / key / "checkpoints" / "step=0000001.ckpt").touch()
    progress = SweepProgress(dict.fromkeys(made.stages, State.WAITING) | {key: State.RUNNING})
    console = Console(file=stream, force_terminal=True, width=160, color_system=None)
    with SweepDisplay(made, tmp_path, at_once=1, console=console) as display:
        display(progress)
    lines = [line for line in stream.getvalue().splitlines() if "-seed0" in line][:3]
    assert len(lines) == 3
    assert "1/2" in lines[0]  # steps of the running denoiser
    assert "–" in lines[2]  # no decoder
