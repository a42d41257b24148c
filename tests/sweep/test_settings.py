from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drip_lightning.errors import InputError
from drip_lightning.sweep.settings import read_sweep
from tests.sweep.conftest import FACTORS, STAGES

SweepFile = Callable[..., Path]


def test_paths_are_joined_to_the_files_folder_and_the_scale_put_in(sweep_file: SweepFile) -> None:
    path = sweep_file()
    settings = read_sweep(path)
    assert settings.stages["denoiser"].configs == [str(path.parent / name) for name in ("base.yaml", "tiny.yaml")]
    value = settings.factors["variant"]["without attention"]
    assert value.overlays == {"denoiser": [str(path.parent / "worse.yaml")]}
    other = read_sweep(path, scale="small", seeds=[7])
    assert other.stages["denoiser"].configs[1] == str(path.parent / "small.yaml")
    assert other.seeds == [7]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"seedz": [1]}, "does not accept option 'seedz'"),
        ({"seeds": ["one"]}, "sweep.seeds"),
        ({"seeds": [1, 1]}, "seeds: expected different numbers"),
        ({"seeds": []}, "seeds: expected different numbers"),
        ({"factors": {}}, "at least one stage, one factor"),
        ({"factors": {"variant": {}}}, "at least one stage, one factor"),
        ({"factors": {"variant": {"full": {"overlay": {"denoiser": ["worse.yaml"]}}}}}, "Option 'overlay"),
        ({"factors": {"variant": {"full": {"without": ["unet"]}}}}, "factors.variant.full: no stage 'unet'"),
        ({"factors": {"a-b": {"full": {}}}}, "'a-b': a stage or factor is named by letters"),
        ({"stages": {"test": {"configs": ["base.yaml"]}}}, "none is named 'test'"),
        ({"stages": {**STAGES, "denoiser": {"configs": ["nowhere.yaml"]}}}, "no configuration at "),
        ({"stages": {"a": {"configs": ["base.yaml"], "inputs": {"k": "{b}/x"}}}}, "'b' is no earlier stage"),
        ({"set": {"model.width": [4, 4]}}, "set.model.width: expected different values"),
        ({"set": {"model.width": [[4]]}}, "set.model.width: expected a list of numbers, texts, true, false or null"),
        ({"set": {"model.variant": [4]}}, "set.model.variant: there is a factor variant already"),
        ({"set": {"model.width": 4}}, "Expected a <class 'list'>. Got value: 4"),
        ({"set": {"model.width": []}}, "one value in each factor"),
        ({"scale": "huge"}, "huge.yaml, which the sweep file names"),
        ({"test": {"steps": "1,4"}}, "test.steps: expected one number, got '1,4'"),
        ({"factors": {"a": {"x": {"test": {"out": "there"}}}}}, "factors.a.x.test.out: the sweep says where"),
        ({"report": {"pictures": -1}}, "report.pictures: expected 0 or more"),
    ],
)
def test_a_mistake_is_one_line(sweep_file: SweepFile, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        read_sweep(sweep_file(**changes))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_are_named_as_yaml_writes_them(sweep_file: SweepFile) -> None:
    values = [1, 0.5, True, None, "sample"]
    settings = read_sweep(sweep_file(factors={}, set={"model.choice": values}))
    assert list(settings.factors["choice"]) == ["1", "0.5", "true", "null", "sample"]
    assert [value.set["model.choice"] for value in settings.factors["choice"].values()] == values


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sweep file at"):
        read_sweep(tmp_path / "none.yaml")
    (tmp_path / "torn.yaml").write_text("title: [")
    with pytest.raises(InputError, match=r"torn\.yaml"):
        read_sweep(tmp_path / "torn.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(InputError, match=r"list\.yaml"):
        read_sweep(tmp_path / "list.yaml")


def test_the_first_value_is_kept_first(sweep_file: SweepFile) -> None:
    assert next(iter(read_sweep(sweep_file(factors=FACTORS)).factors["variant"])) == "full"
