from collections.abc import Callable
from pathlib import Path

import pytest

from drip_lightning.sweep.plan import SweepPlan
from drip_lightning.sweep.stage_job import StageJob
from tests.sweep.conftest import plan, sweep_file  # noqa: F401 (fixtures)
from tests.sweep.fake_drip import run_drip


@pytest.fixture
def swept(plan: Callable[..., SweepPlan], tmp_path: Path) -> Callable[..., Path]:  # noqa: F811
    """Runs a sweep in this process, all of it or only runs with some seeds, and returns its folder."""

    def run(only_seeds: tuple[int, ...] | None = None, **changes: object) -> Path:
        made, folder = plan(**changes), tmp_path / "swept"
        made.save(folder)
        runs = [one for one in made.runs if only_seeds is None or one.seed in only_seeds]
        wanted = {key for one in runs for key in one.stages.values()}
        for key, stage in made.stages.items():
            if key in wanted:
                assert StageJob(stage, folder / "stages", run_drip)() == 0
        return folder

    return run
