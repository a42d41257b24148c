"""The runs' folders: links to the stages each chains, and its factors and scores as TensorBoard's hyperparameters."""

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from drip_lightning.sweep.plan import PlannedRun, SweepPlan
from drip_lightning.sweep.scores import mean_scores, read_scores
from drip_lightning.sweep.settings import TEST


class RunFolders:
    """`runs/NAME/STAGE` leads to each stage's folder, so that a run looks whole, also to TensorBoard.

    Args:
        plan: The sweep.
        folder: The sweep's folder.
    """

    def __init__(self, plan: SweepPlan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._finished: list[PlannedRun] = []
        for run in plan.runs:
            _link_stages(run, folder / "runs" / run.name)

    def finished(self) -> list[PlannedRun]:
        """Runs that are tested."""
        return self._finished

    def stage_finished(self, key: str) -> None:
        """Tell TensorBoard of the runs that end in this stage."""
        for run in self._plan.runs:
            if run.stages[TEST] == key:
                _write_hyperparameters(run, self._folder / "runs" / run.name)
                self._finished.append(run)


def _link_stages(run: PlannedRun, own: Path) -> None:
    own.mkdir(parents=True, exist_ok=True)
    for link in own.iterdir():
        if link.is_symlink():
            link.unlink()
    for kind, key in run.stages.items():
        (own / kind).symlink_to(Path("..") / ".." / "stages" / key, target_is_directory=True)


def _write_hyperparameters(run: PlannedRun, own: Path) -> None:
    """The factors' values, seed and mean scores, by which the HParams page compares runs; an earlier sweep's go."""
    for old in own.glob("events.out.tfevents.*"):
        old.unlink()
    scores = mean_scores(read_scores(own / TEST))
    with SummaryWriter(str(own)) as writer:
        writer.add_hparams(
            {**run.factors, "seed": run.seed},
            {f"test/{metric}": value for metric, value in scores.items()},
            run_name=".",
        )
