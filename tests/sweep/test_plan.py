import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from drip_lightning.errors import InputError
from drip_lightning.sweep.describe import describe_plan, describe_run
from drip_lightning.sweep.plan import SweepPlan
from tests.sweep.conftest import STAGES

MakePlan = Callable[..., SweepPlan]
DECODERS = {
    "decoder": {name: {"overlays": {"decoder": [f"{name}.yaml"]}} for name in ("base", "tiny", "worse")},
}


VAE = STAGES["denoiser"] | {"configs": ["base.yaml", "vae.yaml"]}


def test_every_combination_with_every_seed(plan: MakePlan) -> None:
    runs = plan(factors={"a": {"x": {}, "y": {}}, "b": {"u v": {}, "w": {}}}, seeds=[0, 3]).runs
    assert [run.name for run in runs][:3] == ["x-u_v-seed0", "x-u_v-seed3", "x-w-seed0"]
    assert len(runs) == 8
    assert runs[-1].factors == {"a": "y", "b": "w"}


def test_a_stage_shared_by_several_runs_is_planned_once(plan: MakePlan) -> None:
    made = plan()
    kinds = [stage.kind for stage in made.stages.values()]
    # one autoencoder; two denoisers and two decoders a seed; "without decoder" tests the full model's denoiser
    assert {kind: kinds.count(kind) for kind in kinds} == {"autoencoder": 1, "denoiser": 4, "decoder": 4, "test": 6}
    full, without = (
        next(run for run in made.runs if run.factors["variant"] == name) for name in ("full", "without decoder")
    )
    assert full.stages["denoiser"] == without.stages["denoiser"]
    assert "decoder" not in without.stages
    assert full.stages["test"] != without.stages["test"]


def test_one_denoiser_under_three_decoders(plan: MakePlan) -> None:
    made = plan(factors=DECODERS, seeds=[0])
    kinds = [stage.kind for stage in made.stages.values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {"autoencoder": 1, "denoiser": 1, "decoder": 3, "test": 3}


def test_a_stage_comes_after_its_inputs(plan: MakePlan) -> None:
    seen: set[str] = set()
    for key, stage in plan().stages.items():
        assert seen.issuperset(stage.inputs)
        seen.add(key)


def test_a_key_set_inline_is_a_factor_of_the_stages_that_have_it(plan: MakePlan) -> None:
    made = plan(
        stages={**STAGES, "denoiser": {"configs": ["base.yaml", "noise.yaml"]}},
        factors={"variant": {"full": {}, "narrow": {"set": {"decoder.model.width": 4}}}},
        set={"model.noise.discount": [0.5, 0.9], "test.steps": [1, 10], "trainer.max_steps": [3]},
        seeds=[0],
    )
    assert made.factors == {
        "variant": ["full", "narrow"],
        "discount": ["0.5", "0.9"],
        "steps": ["1", "10"],
        "max_steps": ["3"],
    }
    run = next(run for run in made.runs if run.name == "narrow-0_5-10-3-seed0")
    stages = {kind: made.stages[key] for kind, key in run.stages.items()}
    configs = {kind: yaml.safe_load(stage.config) for kind, stage in stages.items() if kind != "test"}
    assert configs["denoiser"]["model"] == {
        "width": 8,
        "noise": {"init_args": {"discount": 0.5, "deviation": "sample"}},
    }
    assert [config["model"]["width"] for config in configs.values()] == [8, 8, 4]
    assert [config["trainer"]["max_steps"] for config in configs.values()] == [3, 3, 3]
    assert stages["test"].options == {"steps": 10}
    assert run.settings["denoiser"] == {"model.noise.init_args.discount": "0.5", "trainer.max_steps": "3"}
    assert " + discount=0.5 + max_steps=3," in describe_plan(made)


def test_a_stage_is_named_by_what_decides_it(plan: MakePlan) -> None:
    first, again = plan(), plan()
    assert list(first.stages) == list(again.stages)
    other = plan(stages={**STAGES, "autoencoder": {"configs": ["base.yaml", "worse.yaml"], "seed": 0}})
    assert not set(first.stages) & set(other.stages)  # all build on the autoencoder
    longer = plan(test={"steps": 4})
    changed = set(longer.stages) - set(first.stages)
    assert {longer.stages[key].kind for key in changed} == {"test"}


def test_other_data_make_another_stage(plan: MakePlan, tmp_path: Path, sweep_file: Callable[..., Path]) -> None:
    (tmp_path / "configs" / "tiny.yaml").write_text(
        yaml.safe_dump({"data": {"init_args": {"foregrounds": str(tmp_path)}}})
    )
    (tmp_path / "index.json").write_text("one")
    before = plan()
    (tmp_path / "index.json").write_text("two")
    after = plan()
    same = {before.stages[key].kind for key in set(before.stages) & set(after.stages)}
    assert same == {"autoencoder"}


def test_the_configuration_names_seed_folder_and_inputs(plan: MakePlan) -> None:
    made = plan(seeds=[5])
    run = made.runs[0]
    config = yaml.safe_load(made.stages[run.stages["denoiser"]].config)
    assert config["seed_everything"] == 5
    assert config["trainer"]["default_root_dir"] == f"SWEEP/stages/{run.stages['denoiser']}"
    assert config["model"]["vae"] == f"SWEEP/stages/{run.stages['autoencoder']}/pretrained"
    assert yaml.safe_load(made.stages[run.stages["autoencoder"]].config)["seed_everything"] == 0


def test_a_plan_is_read_as_it_was_written(plan: MakePlan, tmp_path: Path) -> None:
    made = plan()
    made.save(tmp_path / "sweep")
    assert SweepPlan.load(tmp_path / "sweep") == made
    path = tmp_path / "sweep" / "plan.json"
    earlier = json.loads(path.read_text()) | {"format": 1}
    for run in earlier["runs"]:
        run["levels"] = run.pop("factors")
    path.write_text(json.dumps(earlier))
    assert SweepPlan.load(tmp_path / "sweep") == made


def test_a_folder_that_is_no_sweeps(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"plan\.json is missing"):
        SweepPlan.load(tmp_path)
    (tmp_path / "plan.json").write_text('{"format": 0}')
    with pytest.raises(InputError, match="another version"):
        SweepPlan.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"factors": {name: {"x": {"overlays": {"denoiser": [f"{name}.yaml"]}}} for name in ("fail", "die")}},
            "both write model.behaviour",
        ),
        (
            {"factors": {"a": {"x": {"test": {"steps": 1}}}, "b": {"x": {"test": {"steps": 2}}}}},
            "both set the option steps",
        ),
        ({"factors": {"a": {"x": {"without": ["denoiser"]}}}}, "stage decoder needs denoiser"),
        ({"factors": {"a": {"x": {"without": list(STAGES)}}}}, "leaves out every stage"),
        (
            {"stages": {"decoder": {"configs": ["base.yaml", "sets.yaml"]}}, "factors": {"a": {"x": {}}}},
            "decoder has several evaluation sets: say by `test: {data: DIR}` which one counts",
        ),
        ({"factors": {"a": {"x y": {}, "x.y": {}}}}, "differ in nothing but signs"),
        ({"set": {"model.colour": ["red"]}}, "no stage of the run has the key model.colour, which a factor sets"),
        ({"set": {"decoder.model.width": [8]}}, "no stage of the run has the key decoder.model.width"),
        (
            {"set": {"model.width": [4]}, "factors": {"a": {"x": {"set": {"decoder.model.width": 2}}}}},
            "two factors both set model.width",
        ),
        (
            {"set": {"model.width": [4]}, "factors": {"a": {"x": {"overlays": {"decoder": ["base.yaml"]}}}}},
            "base.yaml and set model.width both write model.width",
        ),
        (
            {"set": {"model.vae": ["there"]}, "stages": STAGES | {"denoiser": VAE}},
            "set model.vae writes model.vae, which",
        ),
        (
            {"factors": {"a": {"x": {"without": ["decoder"]}}, "b": {"x": {"overlays": {"decoder": ["worse.yaml"]}}}}},
            "laid over decoder, which another value leaves out",
        ),
    ],
)
def test_a_contradiction_is_refused(plan: MakePlan, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        plan(**changes)


def test_the_dry_run_tells_runs_overlays_and_steps(plan: MakePlan) -> None:
    said = describe_plan(plan())
    # steps: autoencoder 3; a denoiser 2, a decoder 3, four of each; "without decoder" trains 5 a seed
    assert "6 runs: 9 different trainings and 6 tests, 23 training steps (42 if nothing were shared)" in said
    assert "run 2: without_attention-seed0 (8 steps)" in said
    assert said.count("+ worse") == 2
    assert "the one of full-seed0" in said


def test_one_run_is_printed_whole(plan: MakePlan) -> None:
    said = describe_run(plan(), 2, Path("out/stages"))
    documents = list(yaml.safe_load_all(said))
    assert [document["model"].get("worse") for document in documents[-3:]] == [None, 40, None]
    assert documents[-1]["model"]["denoiser"].startswith("out/stages/denoiser-")
    tested = describe_run(plan(test={"steps": 4}), 0, Path("out/stages")).splitlines()[-1]
    assert "drip test out/stages/decoder-" in tested
    assert tested.endswith(" --steps=4")
    with pytest.raises(InputError, match="expected 0 to 5, got 6"):
        describe_run(plan(), 6, Path("out"))
