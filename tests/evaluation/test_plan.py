from pathlib import Path

import pytest

from drip_lightning.errors import InputError
from drip_lightning.evaluation.method import Trimap
from drip_lightning.evaluation.plan import EvaluationPlan, Task
from tests.evaluation.mattes import Noisy


def plan(**settings: object) -> EvaluationPlan:
    return EvaluationPlan(data="shards", out=Path("out"), **settings)


def test_only_what_samples_is_measured_for_every_seed_and_number_of_steps() -> None:
    both = plan(steps=(1, 4), seeds=(0, 2))
    assert both.tasks(Noisy(), [7]) == [Task(7, 0, 1), Task(7, 0, 4), Task(7, 2, 1), Task(7, 2, 4)]
    assert both.tasks(Trimap(), [7, 8]) == [Task(7, 0, None), Task(8, 0, None)]
    assert plan().tasks(Noisy(), [7]) == [Task(7, 0, 4)]


def test_rows_tell_the_steps_where_several_are_compared() -> None:
    assert plan(steps=(4,)).rows(Noisy(), 4) == ("noisy",)
    assert plan(steps=(1, 4)).rows(Noisy(), 1) == ("noisy, 1 step",)
    assert plan(steps=(1, 4)).rows(Noisy(), 4) == ("noisy, 4 steps",)
    assert plan(steps=(1, 4)).rows(Trimap(), None) == ("trimap",)


def test_no_two_results_share_a_member_and_the_first_is_the_result_without_an_ensemble() -> None:
    several = plan(seeds=(0, 3), ensemble=3)
    members = [several.member_seeds(seed) for seed in several.seeds]
    assert [own[0] for own in members] == [0, 3]
    assert len({seed for own in members for seed in own}) == 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": (0,)}, "--steps: expected different numbers of at least 1, got 0"),
        ({"steps": (2, 2)}, "--steps"),
        ({"seeds": ()}, "--seeds"),
        ({"seeds": (-1,)}, "--seeds"),
        ({"ensemble": 0}, "--ensemble"),
        ({"limit": 0}, "--limit"),
        ({"worst": 0}, "--worst"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(**settings)
