"""What is measured, and how: the settings that all methods of one evaluation share."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from drip_lightning.errors import InputError
from drip_lightning.evaluation.method import Method
from drip_lightning.nn.metrics import Region
from drip_lightning.ops.metrics import Reduction


@dataclass(frozen=True)
class EvaluationPlan:
    """The settings of an evaluation.

    Attributes:
        data: Folder or URL of evaluation shards.
        out: Folder of the results.
        set_name: What the published tables call the data; none takes the name of what made the shards.
        region: Where to measure: the trimap's unknown pixels, or the whole image.
        steps: Denoising steps to compare; none means each method's own.
        seeds: Results are means over these; only methods that sample are evaluated more than once.
        ensemble: Samples whose median is one result.
        limit: Measure the set's first pictures only.
        foreground_channels: Whether errors of the foreground add its three channels, as published ones do, or average.
        worst: How many of each row's worst cases are drawn; none means a few. Of what was measured before, those that
            were kept then.
    """

    data: str
    out: Path
    set_name: str | None = None
    region: Region = "unknown"
    steps: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (0,)
    ensemble: int = 1
    limit: int | None = None
    foreground_channels: Reduction = "sum"
    worst: int | None = None

    def __post_init__(self) -> None:
        """Refuse impossible settings."""
        if any(steps < 1 for steps in self.steps) or len(set(self.steps)) < len(self.steps):
            raise InputError(f"--steps: expected different numbers of at least 1, got {_listed(self.steps)}")
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"--seeds: expected different numbers of at least 0, got {_listed(self.seeds)}")
        if self.ensemble < 1:
            raise InputError(f"--ensemble: expected at least 1, got {self.ensemble}")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"--limit: expected at least 1, got {self.limit}")
        if self.worst is not None and self.worst < 1:
            raise InputError(f"--worst: expected at least 1, got {self.worst}")

    def of_sets(self, sets: Mapping[str, str]) -> list["EvaluationPlan"]:
        """The same for each of several sets, name to folder: results go to a folder of that name."""
        return [replace(self, data=data, out=self.out / name) for name, data in sets.items()]

    def tasks(self, method: Method, numbers: list[int]) -> list["Task"]:
        """Everything that has to be done for a method, picture by picture."""
        steps: list[int | None] = [None] if method.default_steps is None else [*self.steps] or [method.default_steps]
        seeds = self.seeds if method.default_steps is not None else self.seeds[:1]
        return [Task(number, seed, count) for number in numbers for seed in seeds for count in steps]

    def rows(self, method: Method, steps: int | None) -> tuple[str, ...]:
        """Names of a method's rows; they tell the steps where several are compared."""
        tail = f", {steps} step{'' if steps == 1 else 's'}" if len(self.steps) > 1 and steps is not None else ""
        return tuple(f"{row}{tail}" for row in method.rows)

    def member_seeds(self, seed: int) -> list[int]:
        """The seeds of one result's ensemble; the first member is the result without an ensemble."""
        return [seed + member * (max(self.seeds) + 1) for member in range(self.ensemble)]


class Task(NamedTuple):
    """One matting to be done: a picture's number, a seed, and denoising steps unless the method has none."""

    number: int
    seed: int
    steps: int | None


def _listed(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers)) or "none"
