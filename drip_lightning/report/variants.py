"""A sweep's runs, put together by what they have in common: one variant, several seeds."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drip_lightning.errors import InputError
from drip_lightning.sweep.plan import PlannedRun, SweepPlan
from drip_lightning.sweep.scores import Scores, read_scores
from drip_lightning.sweep.settings import TEST


@dataclass(frozen=True)
class Variant:
    """One combination of values.

    Attributes:
        name: What the tables call it.
        factors: Factor to value.
        runs: Seed to run, of those that are tested.
        scores: Seed to what was measured.
    """

    name: str
    factors: dict[str, str]
    runs: dict[int, PlannedRun]
    scores: dict[int, Scores]

    def per_seed(self, metric: str) -> dict[int, float]:
        """Each seed's mean over the pictures, raw; seeds without the metric are left out."""
        return {
            seed: float(np.mean(list(scores[metric].values())))
            for seed, scores in self.scores.items()
            if metric in scores
        }

    def per_picture(self, metric: str, seeds: list[int]) -> dict[str, float]:
        """Each picture's mean over these seeds, raw."""
        several = [self.scores[seed][metric] for seed in seeds]
        shared = set(several[0]).intersection(*several)
        return {key: float(np.mean([one[key] for one in several])) for key in several[0] if key in shared}


def read_variants(plan: SweepPlan, folder: Path) -> list[Variant]:
    """Read what is tested; the first variant is the one that the others are compared with.

    Raises:
        InputError: nothing is tested.
    """
    found = []
    for names in itertools.product(*plan.factors.values()):
        factors = dict(zip(plan.factors, names, strict=True))
        runs = {run.seed: run for run in plan.runs if run.factors == factors and is_tested(run, folder)}
        scores = {seed: read_scores(folder / "stages" / run.stages[TEST]) for seed, run in runs.items()}
        found.append(Variant(name=", ".join(names), factors=factors, runs=runs, scores=scores))
    if not any(variant.runs for variant in found):
        raise InputError(f"no run in {folder} is tested: run the sweep first")
    return found


def marginal_variants(plan: SweepPlan, variants: Sequence[Variant], factor: str) -> list[Variant]:
    """Each value of one factor, averaged over the combinations of the others.

    A seed's mean is over the combinations that all of the factor's values were tested in with that seed, so that
    values differ in nothing else; a picture's is over those that measured it.

    Returns:
        A variant each value, in the plan's order, without runs of its own.
    """
    rest = {
        variant.name: tuple(value for name, value in variant.factors.items() if name != factor) for variant in variants
    }
    scores: dict[str, dict[int, Scores]] = {value: {} for value in plan.factors[factor]}
    for seed in plan.seeds:
        tested = [variant for variant in variants if seed in variant.scores]
        seen = Counter(rest[variant.name] for variant in tested)
        for value in scores:
            several = [
                variant.scores[seed]
                for variant in tested
                if variant.factors[factor] == value and seen[rest[variant.name]] == len(scores)
            ]
            if several:
                scores[value][seed] = _mean_scores(several)
    return [Variant(name=value, factors={factor: value}, runs={}, scores=scores[value]) for value in scores]


def _mean_scores(several: Sequence[Scores]) -> Scores:
    """What all of them measured, picture by picture."""
    return {
        metric: {
            key: float(np.mean([one[metric][key] for one in several]))
            for key in several[0][metric]
            if all(key in one[metric] for one in several)
        }
        for metric in several[0]
        if all(metric in one for one in several)
    }


def is_tested(run: PlannedRun, folder: Path) -> bool:
    """Whether a run is finished."""
    return (folder / "stages" / run.stages[TEST] / "finished.json").is_file()
