"""Shows a sweep: one line a run, and how long it will take yet; on a terminal in place, elsewhere line by line."""

import time
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from drip_lightning.sweep.plan import PlannedStage, SweepPlan
from drip_lightning.sweep.schedule import State, SweepProgress
from drip_lightning.sweep.stage_folder import StageFolder

_STYLES = {State.FINISHED: "green", State.RUNNING: "cyan", State.FAILED: "red", State.BLOCKED: "dim red"}
_SECONDS_BETWEEN = 1.0


class SweepDisplay:
    """A live table on a terminal; elsewhere, a line whenever a stage changes its state.

    Args:
        plan: The sweep.
        stages_folder: Folder of the stages' folders.
        at_once: Stages at a time, for the estimate.
        console: Where to print.
    """

    def __init__(self, plan: SweepPlan, stages_folder: Path, *, at_once: int, console: Console) -> None:
        self._plan = plan
        self._folders = {key: StageFolder(stages_folder / key) for key in plan.stages}
        self._at_once = at_once
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._seen: dict[str, State] = {}
        self._drawn = 0.0

    def __enter__(self) -> "SweepDisplay":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, progress: SweepProgress) -> None:
        """Show how far it is."""
        changed = {key: state for key, state in progress.states.items() if self._seen.get(key, State.WAITING) != state}
        now = time.monotonic()
        if not changed and now - self._drawn < _SECONDS_BETWEEN:
            return
        self._drawn = now
        if self._live:
            self._live.update(self._table(progress), refresh=True)
        elif changed and not self._seen:
            finished = sum(state is State.FINISHED for state in changed.values())
            self._print(f"{finished} of {len(progress.states)} stages are finished already" if finished else "")
            self._print_changes({key: state for key, state in changed.items() if state is not State.FINISHED}, progress)
        else:
            self._print_changes(changed, progress)
        self._seen = dict(progress.states)

    def _print_changes(self, changed: dict[str, State], progress: SweepProgress) -> None:
        for key, state in changed.items():
            users = [run.name for run in self._plan.runs if key in run.stages.values()]
            who = users[0] if len(users) == 1 else f"{users[0]} and {len(users) - 1} more"
            reason = f" ({progress.reasons[key]})" if key in progress.reasons else ""
            done = self._folders[key].finished() if state is State.FINISHED else None
            took = f" in {_duration(done.seconds)}" if done else ""
            kind = self._plan.stages[key].kind
            self._print(
                f"{time.strftime('%H:%M:%S')}  {kind:<12} {state.value}{took}{reason}  {who}  {self.rest(progress)}"
            )

    def _print(self, line: str) -> None:
        if line:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _table(self, progress: SweepProgress) -> Group:
        table = Table(box=None, pad_edge=False)
        kinds = list(dict.fromkeys(kind for run in self._plan.runs for kind in run.stages))
        for title in ("run", *kinds):
            table.add_column(title, no_wrap=True)
        for run in self._plan.runs:
            cells = [self._cell(run.stages[kind], progress) if kind in run.stages else Text("–") for kind in kinds]
            table.add_row(run.name, *cells)
        return Group(table, Text(self.rest(progress)))

    def _cell(self, key: str, progress: SweepProgress) -> Text:
        state, stage = progress.states[key], self._plan.stages[key]
        done = self._folders[key].finished() if state is State.FINISHED else None
        text = _duration(done.seconds) if done else state.value
        if state is State.RUNNING and stage.steps:
            text = f"{self._folders[key].steps_done()}/{stage.steps}"
        return Text(text, style=_STYLES.get(state, "dim"))

    def rest(self, progress: SweepProgress) -> str:
        """How much is done, and about how long the rest takes, from what stages of its kind have taken so far."""
        known: dict[str, list[float]] = {}
        for key, stage in self._plan.stages.items():
            if progress.states[key] is State.FINISHED and (done := self._folders[key].finished()):
                known.setdefault(stage.kind, []).append(done.seconds)
        left = [key for key, state in progress.states.items() if state in (State.WAITING, State.RUNNING)]
        count = f"[{sum(state is State.FINISHED for state in progress.states.values())}/{len(progress.states)} stages"
        if not left:
            return f"{count}]"
        unknown = {self._plan.stages[key].kind for key in left} - known.keys()
        seconds = sum(self._left(self._plan.stages[key], known, progress) for key in left) / self._at_once
        if not seconds:
            return f"{count}]"
        return f"{count}, {'more than' if unknown else 'about'} {_duration(seconds)} left]"

    def _left(self, stage: PlannedStage, known: dict[str, list[float]], progress: SweepProgress) -> float:
        took = known.get(stage.kind)
        if not took:
            return 0.0
        began = progress.began.get(stage.key, time.time())
        return max(0.0, sum(took) / len(took) - (time.time() - began))


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
