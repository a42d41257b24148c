from collections.abc import Callable
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from drip_lightning.sweep.plan import SweepPlan
from drip_lightning.sweep.run_folder import RunFolders
from drip_lightning.sweep.stage_job import StageJob
from tests.sweep.fake_drip import run_drip


def test_tensorboard_finds_every_run_with_its_factors_and_scores(
    plan: Callable[..., SweepPlan], tmp_path: Path
) -> None:
    made = plan(factors={"attention": {"full": {}, "none": {}}, "noise": {"grey": {}}}, seeds=[3])
    for stage in made.stages.values():
        StageJob(stage, tmp_path / "stages", run_drip)()
    folders = RunFolders(made, tmp_path)
    for key in made.stages:
        folders.stage_finished(key)
    assert [run.name for run in folders.finished()] == ["full-grey-seed3", "none-grey-seed3"]
    for run in made.runs:
        own = tmp_path / "runs" / run.name
        assert (own / "denoiser" / "config.yaml").samefile(tmp_path / "stages" / run.stages["denoiser"] / "config.yaml")
        found: dict[str, object] = {}
        for file in own.glob("events.*"):
            events = EventAccumulator(str(file))
            events.Reload()
            found |= {tag: events.Scalars(tag)[0].value for tag in events.Tags()["scalars"]}
            for tag, content in events.summary_metadata.items():
                if tag.endswith("session_start_info"):
                    data = plugin_data_pb2.HParamsPluginData.FromString(content.plugin_data.content)
                    found |= dict(data.session_start_info.hparams.items())
        assert found["attention"].string_value == run.factors["attention"]  # type: ignore[attr-defined]
        assert found["noise"].string_value == "grey"  # type: ignore[attr-defined]
        assert found["seed"].number_value == 3  # type: ignore[attr-defined]
        assert found["test/alpha_sad_unknown"] == 1041  # 1000 + 10 · 3.5 + 2 · 3


def test_links_follow_the_plan(plan: Callable[..., SweepPlan], tmp_path: Path) -> None:
    made = plan(seeds=[0])
    RunFolders(made, tmp_path)
    longer = plan(seeds=[0], test={"steps": 3})
    RunFolders(longer, tmp_path)
    link = tmp_path / "runs" / "full-seed0" / "test"
    assert link.readlink().name == longer.runs[0].stages["test"] != made.runs[0].stages["test"]
