"""What a sweep file says, read and checked."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from drip_lightning.errors import InputError

TEST = "test"
"""The last stage of every run; its name is taken."""


@dataclass(frozen=True)
class StageSettings:
    """One training in the chain.

    Attributes:
        configs: Configurations of `drip fit`, a later one wins; paths from the sweep file's folder, `{scale}` is the
            scale.
        inputs: Settings that name what an earlier stage made: key to a path in which `{STAGE}` is its run folder.
        seed: Seed of this stage in every run, which is then trained once; none takes the run's own.
    """

    configs: list[str]
    inputs: dict[str, str] = field(default_factory=dict)
    seed: int | None = None


@dataclass(frozen=True)
class FactorValue:
    """One setting of a factor.

    Attributes:
        overlays: Stage to overlays laid over its configurations, paths from the sweep file's folder.
        without: Stages left out of the chain.
        set: Keys to values, laid over the overlays; a key is of the stage whose name comes before it, else of every
            stage that has it.
        test: Options of `drip test`, such as `steps: 4`.
    """

    overlays: dict[str, list[str]] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)
    set: dict[str, Any] = field(default_factory=dict)
    test: dict[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportSettings:
    """What the report shows.

    Attributes:
        metrics: Columns of the table, by the names that `drip test` gives them.
        pictures: Rows of the picture grid: the evaluation set's first pictures.
    """

    metrics: list[str] = field(default_factory=lambda: ["alpha_sad_unknown", "alpha_mse_unknown"])
    pictures: int = 4


@dataclass(frozen=True)
class SweepSettings:
    """A sweep: every combination of the factors' values, with every seed.

    Attributes:
        title: One line above the tables.
        scale: What `{scale}` stands for unless the command line says another.
        stages: Trainings in order, by name; `drip test` follows the last.
        factors: Factor to its values, by the names that the tables show. A factor's first value is what the
            others are compared with.
        set: More factors: a key to the values it takes, as in `FactorValue.set`; `test.OPTION` is one of `drip test`.
            The factor is named by the key's last part.
        seeds: Each combination runs once with each.
        test: Options of `drip test` for every run.
        report: What the report shows.
    """

    title: str
    scale: str
    stages: dict[str, StageSettings]
    factors: dict[str, dict[str, FactorValue]] = field(default_factory=dict)
    set: dict[str, list[Any]] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    test: dict[str, str | int | float] = field(default_factory=dict)
    report: ReportSettings = field(default_factory=ReportSettings)


def read_sweep(path: Path, *, scale: str | None = None, seeds: list[int] | None = None) -> SweepSettings:
    """Read a sweep file.

    Args:
        path: The YAML file.
        scale: In place of the file's.
        seeds: In place of the file's.

    Returns:
        The settings, with every path of a configuration joined to the file's folder.

    Raises:
        InputError: no such file, an unknown key, a wrong type, a stage or value that is not there.
    """
    if not path.is_file():
        raise InputError(f"no sweep file at {path}; the project's own are in configs/sweep/")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(SweepSettings, "sweep")
    try:
        content = yaml.safe_load(path.read_text())
        settings = parser.instantiate(parser.parse_object({"sweep": content})).sweep
    except (ArgumentError, yaml.YAMLError, TypeError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error
    settings = replace(settings, scale=scale or settings.scale, seeds=settings.seeds if seeds is None else seeds)
    settings = replace(settings, factors=settings.factors | _factors_set(settings, path))
    _check(settings, path)
    return _with_paths(settings, path.parent)


def as_word(value: Any) -> str:
    """A value of a key as a command line has it."""
    return value if isinstance(value, str) else json.dumps(value)


def _factors_set(settings: SweepSettings, path: Path) -> Mapping[str, dict[str, FactorValue]]:
    """The factors that `set` stands for."""
    factors: dict[str, dict[str, FactorValue]] = {}
    for key, values in settings.set.items():
        first, _, option = key.partition(".")
        name = key.rpartition(".")[2]
        if name in settings.factors or name in factors:
            raise InputError(f"{path}: set.{key}: there is a factor {name} already")
        if not all(value is None or isinstance(value, bool | int | float | str) for value in values):
            raise InputError(f"{path}: set.{key}: expected a list of numbers, texts, true, false or null, got {values}")
        factors[name] = {
            as_word(value): FactorValue(test={option: value}) if first == TEST else FactorValue(set={key: value})
            for value in values
        }
        if len(factors[name]) < len(values):
            raise InputError(f"{path}: set.{key}: expected different values, got {values}")
    return factors


def _check(settings: SweepSettings, path: Path) -> None:
    """Refuse what no run could be made of."""

    def refuse(reason: str) -> None:
        raise InputError(f"{path}: {reason}")

    stages = list(settings.stages)
    if not stages or not settings.factors or not all(settings.factors.values()):
        refuse("expected at least one stage, one factor, and one value in each factor")
    if not settings.seeds or len(set(settings.seeds)) < len(settings.seeds):
        refuse(f"seeds: expected different numbers, at least one, got {settings.seeds}")
    for name in (*stages, *settings.factors):
        if not re.fullmatch(r"\w+", name) or name == TEST:
            refuse(f"{name!r}: a stage or factor is named by letters, digits and _, and none is named {TEST!r}")
    for number, (name, stage) in enumerate(settings.stages.items()):
        for key, text in stage.inputs.items():
            for other in re.findall(r"\{(\w+)\}", text):
                if other not in stages[:number]:
                    refuse(f"stages.{name}.inputs.{key}: {other!r} is no earlier stage")
    for factor, values in settings.factors.items():
        for label, value in values.items():
            for stage_name in (*value.overlays, *value.without):
                if stage_name not in stages:
                    refuse(f"factors.{factor}.{label}: no stage {stage_name!r}, expected one of {', '.join(stages)}")
            _check_test(value.test, f"{path}: factors.{factor}.{label}.test")
    _check_test(settings.test, f"{path}: test")
    if settings.report.pictures < 0:
        refuse(f"report.pictures: expected 0 or more, got {settings.report.pictures}")


def _check_test(options: dict[str, str | int | float], where: str) -> None:
    """Refuse what a run's test cannot have: several numbers of steps are a factor, its folder is the sweep's."""
    if not isinstance(options.get("steps", 1), int):
        raise InputError(f"{where}.steps: expected one number, got {options['steps']!r}; several are a factor's values")
    if "out" in options:
        raise InputError(f"{where}.out: the sweep says where results go")


def _with_paths(settings: SweepSettings, folder: Path) -> SweepSettings:
    def found(configs: list[str]) -> list[str]:
        paths = [folder / config.replace("{scale}", settings.scale) for config in configs]
        for config in paths:
            if not config.is_file():
                raise InputError(f"no configuration at {config}, which the sweep file names")
        return [str(config) for config in paths]

    stages = {name: replace(stage, configs=found(stage.configs)) for name, stage in settings.stages.items()}
    factors = {
        factor: {
            label: replace(value, overlays={name: found(files) for name, files in value.overlays.items()})
            for label, value in values.items()
        }
        for factor, values in settings.factors.items()
    }
    return replace(settings, stages=stages, factors=factors)
