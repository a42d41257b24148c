"""Runs a plan: every stage once, in order, whatever was finished, broken off or failed before."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from drip_lightning.sweep.launcher import Launcher
from drip_lightning.sweep.plan import PlannedStage, SweepPlan
from drip_lightning.sweep.stage_folder import StageFolder
from drip_lightning.sweep.stage_job import RunDrip, StageJob


class State(Enum):
    """Where a stage is."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    BLOCKED = "blocked"
    """An input of it failed."""


@dataclass
class SweepProgress:
    """What the schedule knows; the display reads it.

    Attributes:
        states: Stage to where it is.
        reasons: Failed stage to what was wrong.
        began: Running stage to the time at which this sweep saw it start.
    """

    states: dict[str, State]
    reasons: dict[str, str] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left that could be done."""
        return not {State.WAITING, State.RUNNING} & set(self.states.values())


def run_plan(
    plan: SweepPlan,
    stages_folder: Path,
    launcher: Launcher,
    run_drip: RunDrip,
    *,
    show: Callable[[SweepProgress], None] = lambda progress: None,
    on_finished: Callable[[str], None] = lambda key: None,
) -> SweepProgress:
    """Run what is not finished; a failure stops what builds on it and nothing else.

    Args:
        plan: The sweep.
        stages_folder: Folder of the stages' folders.
        launcher: Runs the stages.
        run_drip: What a stage's process calls.
        show: Called again and again with how far it is.
        on_finished: Called with each stage's key once it is known to be finished, also from an earlier sweep.

    Returns:
        How it ended.
    """
    jobs = {key: StageJob(stage, stages_folder, run_drip, plan.pictures) for key, stage in plan.stages.items()}
    progress = SweepProgress(dict.fromkeys(plan.stages, State.WAITING))
    launched: set[str] = set()
    try:
        while True:
            ended = launcher.ended()
            for key in ended:
                launched.discard(key)
            for key, stage in plan.stages.items():
                _update(progress, stage, jobs[key].folder, key in launched, ended.get(key), on_finished)
            ready = [
                jobs[key]
                for key, stage in plan.stages.items()
                if progress.states[key] is State.WAITING
                and all(progress.states[other] is State.FINISHED for other in stage.inputs)
            ]
            for key in launcher.start(ready) if ready else []:
                launched.add(key)
                progress.states[key], progress.began[key] = State.RUNNING, time.time()
            show(progress)
            if progress.is_over:
                return progress
            time.sleep(launcher.poll_seconds)
    except BaseException:
        launcher.stop()
        raise


def _update(
    progress: SweepProgress,
    stage: PlannedStage,
    folder: StageFolder,
    is_launched: bool,
    ended: str | None,
    on_finished: Callable[[str], None],
) -> None:
    """Find out where a stage is, from its folder and what the launcher says."""
    key = stage.key
    if progress.states[key] in (State.FINISHED, State.FAILED, State.BLOCKED):
        return
    inputs = {progress.states[other] for other in stage.inputs}
    if folder.finished() is not None:
        progress.states[key] = State.FINISHED
        on_finished(key)
    elif ended:
        progress.states[key], progress.reasons[key] = State.FAILED, ended
    elif is_launched or folder.is_running():
        progress.states[key] = State.RUNNING
        progress.began.setdefault(key, time.time())
    elif inputs & {State.FAILED, State.BLOCKED}:
        progress.states[key] = State.BLOCKED
    else:
        progress.states[key] = State.WAITING
