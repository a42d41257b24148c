import math

import pytest
from scipy import stats

from drip_lightning.report.statistics import compare, summarise
from drip_lightning.report.variants import Variant

METRIC = "alpha_sad_unknown"


def _variant(*per_seed: list[float], name: str = "a") -> Variant:
    """One list of picture scores a seed."""
    scores = {
        seed: {METRIC: {f"p{number}": value for number, value in enumerate(values)}}
        for seed, values in enumerate(per_seed)
    }
    return Variant(name=name, factors={}, runs={}, scores=scores)


def test_mean_and_deviation_over_seeds_of_means_over_pictures() -> None:
    summary = summarise(_variant([1, 3], [4, 4], [6, 6]), METRIC)
    assert summary is not None
    assert (summary.mean, summary.sd, summary.seeds) == (4.0, 2.0, 3)
    assert summarise(_variant([1, 3]), METRIC).sd is None  # type: ignore[union-attr]
    assert summarise(_variant([1.0]), "alpha_mse_unknown") is None


def test_the_interval_is_students_over_paired_seeds() -> None:
    # differences of the seeds: 1, 2, 3; sd 1; t(2) at 97.5 % is 4.302653
    difference = compare(_variant([2, 2], [4, 4], [6, 6]), _variant([1, 1], [2, 2], [3, 3]), METRIC)
    assert difference is not None
    assert difference.mean == 2.0
    assert difference.half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert difference.exceeds_seeds is False
    near = compare(_variant([2, 2], [3.1, 3.1], [4, 4]), _variant([1, 1], [2, 2], [3, 3]), METRIC)
    assert near is not None
    assert near.exceeds_seeds is True


def test_pictures_are_paired_after_their_seeds_are_averaged() -> None:
    first = [[10.0, 20, 30, 40, 50, 60], [12.0, 18, 33, 37, 55, 65]]
    other = [[value + number for number, value in enumerate(values, start=1)] for values in first]
    difference = compare(_variant(*other), _variant(*first), METRIC)
    assert difference is not None
    assert (difference.pictures, difference.seeds) == (6, 2)
    # all six signed ranks positive: 2 of the 2⁶ equally likely sign patterns are as extreme
    assert difference.p_pictures == pytest.approx(2 / 2**6)
    assert difference.p_pictures == stats.wilcoxon([1, 2, 3, 4, 5, 6]).pvalue


def test_the_same_scores_differ_in_nothing() -> None:
    difference = compare(_variant([1, 2], [3, 4]), _variant([1, 2], [3, 4]), METRIC)
    assert difference is not None
    assert (difference.mean, difference.half_width, difference.p_pictures) == (0.0, 0.0, 1.0)
    assert difference.exceeds_seeds is False


def test_only_shared_seeds_are_compared() -> None:
    difference = compare(_variant([2, 2]), _variant([1, 1], [9, 9]), METRIC)
    assert difference is not None
    assert (difference.mean, difference.half_width, difference.seeds) == (1.0, None, 1)
    assert difference.exceeds_seeds is None
    assert compare(Variant("a", {}, {}, {}), _variant([1, 1]), METRIC) is None
