"""From results of single pictures to means, deviations and strata: what the tables say."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drip_lightning.evaluation.journal import Result, task_of
from drip_lightning.evaluation.measure import Scores, metric_names
from drip_lightning.evaluation.method import Method
from drip_lightning.evaluation.plan import EvaluationPlan, Task
from drip_lightning.ops.strata import STRATA

FORMAT_VERSION = 1
"""Of `summary.json` and `per_image.csv`; raised when a reader of an older one could be misled."""


@dataclass(frozen=True)
class RowResult:
    """One row's outcome on one picture."""

    row: str
    method: str
    result: Result

    @property
    def scores(self) -> Scores:
        """What was measured."""
        return self.result["rows"][self.row]


def complete_results(
    results: Sequence[Result], methods: Sequence[Method], plan: EvaluationPlan, *, images: int
) -> tuple[list[RowResult], list[int]]:
    """Put results in the order of rows, seeds and pictures; a picture counts only if every row has it for every seed.

    Returns:
        The results of the pictures that count, and the numbers of those that do not.
    """
    found = {task_of(result): result for result in results}
    wanted = [(method, task) for method in methods for task in plan.tasks(method, list(range(images)))]
    missing = {task.number for method, task in wanted if (method.name, task) not in found}
    counted = [(method, task) for method, task in wanted if task.number not in missing]
    rows: dict[str, list[RowResult]] = {}
    for method, task in sorted(counted, key=lambda pair: (pair[1].seed, pair[1].number)):
        for row in plan.rows(method, task.steps):
            rows.setdefault(row, []).append(RowResult(row, method.name, found[method.name, task]))
    ordered = [result for row in all_rows(methods, plan) for result in rows.get(row, [])]
    for row in rows:  # each picture once for each seed
        assert len({task_of(result.result) for result in rows[row]}) == len(rows[row])
    return ordered, sorted(missing)


def all_rows(methods: Sequence[Method], plan: EvaluationPlan) -> list[str]:
    """Every row's name, in the order of methods and steps."""
    return [
        row
        for method in methods
        for task in _one_seed(plan.tasks(method, [0]))
        for row in plan.rows(method, task.steps)
    ]


def _one_seed(tasks: Sequence[Task]) -> list[Task]:
    return [task for task in tasks if task.seed == tasks[0].seed]


def summarise(rows: Sequence[RowResult], plan: EvaluationPlan) -> dict[str, Any]:
    """Means over pictures, then mean and deviation over seeds, by row: `rows` and `strata` of `summary.json`."""
    by_row: dict[str, dict[int, list[RowResult]]] = {}
    for result in rows:
        by_row.setdefault(result.row, {}).setdefault(result.result["seed"], []).append(result)
    names = metric_names(plan.region)
    return {
        "rows": {
            row: {name: _spread([_mean(own, name) for own in seeds.values()]) for name in names if _has(seeds, name)}
            | {"seconds": _spread([statistics.median(one.result["seconds"] for one in own) for own in seeds.values()])}
            for row, seeds in by_row.items()
        },
        "strata": {row: _strata([one for own in seeds.values() for one in own]) for row, seeds in by_row.items()},
    }


def _has(seeds: dict[int, list[RowResult]], name: str) -> bool:
    return any(name in one.scores["metrics"] for own in seeds.values() for one in own)


def _mean(results: Sequence[RowResult], name: str) -> float:
    values = [one.scores["metrics"][name] for one in results if name in one.scores["metrics"]]
    return math.fsum(values) / len(values)


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    """Mean, and the sample's standard deviation; none of a single value."""
    return {"mean": statistics.fmean(values), "sd": statistics.stdev(values) if len(values) > 1 else None}


def _strata(results: Sequence[RowResult]) -> dict[str, dict[str, float | None]]:
    """Of all pixels of a kind, in all pictures and seeds: their share, the error of one, and their share of the SAD."""
    errors = {name: [one.scores["strata"][name] for one in results] for name in STRATA}
    pixels = {name: sum(one["pixels"] for one in own) for name, own in errors.items()}
    absolute = {name: math.fsum(one["absolute"] for one in own) for name, own in errors.items()}
    squared = {name: math.fsum(one["squared"] for one in own) for name, own in errors.items()}
    in_all, error = sum(pixels.values()), math.fsum(absolute.values())
    return {
        name: {
            "pixels_share": pixels[name] / in_all if in_all else 0.0,
            "alpha_mad": absolute[name] / pixels[name] if pixels[name] else None,
            "alpha_mse": squared[name] / pixels[name] if pixels[name] else None,
            "alpha_sad_share": absolute[name] / error if error else 0.0,
        }
        for name in STRATA
    }
