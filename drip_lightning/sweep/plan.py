"""From settings to a plan: which runs there are, which stages each chains, and which stages are one and the same."""

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from drip_lightning.data.evaluation_sets import folders_in
from drip_lightning.errors import InputError
from drip_lightning.files import write_text_whole
from drip_lightning.sweep.overlays import check_overlays, settings_of_stages
from drip_lightning.sweep.settings import TEST, FactorValue, StageSettings, SweepSettings

Resolve = Callable[[Sequence[str]], str]
"""The arguments of `drip fit` to the configuration that it would run, as YAML."""

STAGES_FOLDER = "SWEEP/stages"
"""Stands in a plan's configurations for the folder of the stages."""
_SELF = "THIS-STAGE"
_ANY_SEED = 918273645
"""Stands for the seed, as `INPUT-…` for an input, so that a configuration is parsed, which is slow, once for all."""


@dataclass(frozen=True)
class PlannedStage:
    """A training or a test that some runs share.

    Attributes:
        key: Name of its folder: the kind, and a digest of all that decides what it makes.
        kind: The stage's name in the sweep file, or `test`.
        inputs: Keys of the stages that must be finished first.
        config: Configuration of `drip fit` as YAML, in which `SWEEP/stages` stands for the stages' folder; empty for
            a test.
        options: Options of `drip test`; empty for a training.
        steps: Training steps; 0 for a test.
    """

    key: str
    kind: str
    inputs: tuple[str, ...]
    config: str
    options: dict[str, Any]
    steps: int

    @property
    def option_words(self) -> list[str]:
        """The options as words of a command line."""
        return [f"--{name.replace('_', '-')}={value}" for name, value in self.options.items()]


@dataclass(frozen=True)
class PlannedRun:
    """One combination of values with one seed.

    Attributes:
        name: Unique; the name of its folder.
        factors: Factor to the chosen value's name.
        seed: The seed.
        stages: Kind to the key of a stage, in the order of the chain; `test` is the last.
        overlays: Kind to the overlays that make the run what it is.
        settings: Kind to the keys that are set over them.
    """

    name: str
    factors: dict[str, str]
    seed: int
    stages: dict[str, str]
    overlays: dict[str, list[str]]
    settings: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep does; kept as `plan.json` in its folder, which is all that the report needs.

    Attributes:
        title: One line above the tables.
        scale: Name of the scale.
        factors: Factor to its values' names; the first of each is what the others are compared with.
        seeds: Seeds.
        metrics: Columns of the table.
        pictures: Rows of the picture grid.
        runs: Every run.
        stages: Every stage by its key, in an order in which each comes after its inputs.
    """

    title: str
    scale: str
    factors: dict[str, list[str]]
    seeds: list[int]
    metrics: list[str]
    pictures: int
    runs: list[PlannedRun]
    stages: dict[str, PlannedStage]

    def save(self, folder: Path) -> None:
        """Write `folder/plan.json`, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text_whole(folder / "plan.json", json.dumps({"format": 2, **asdict(self)}, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "SweepPlan":
        """Read `folder/plan.json`.

        Raises:
            InputError: the folder is not a sweep's.
        """
        path = folder / "plan.json"
        if not path.is_file():
            raise InputError(
                f"no sweep in {folder}: plan.json is missing; make one with `drip sweep FILE --out {folder}`"
            )
        content = json.loads(path.read_text())
        version = content.pop("format", None)
        if version not in (1, 2):
            raise InputError(f"{path} is of another version of drip: run `drip sweep` again in a new folder")
        if version == 1:
            for run in content["runs"]:
                run["factors"] = run.pop("levels")
        content["runs"] = [PlannedRun(**run) for run in content["runs"]]
        content["stages"] = {
            key: PlannedStage(**{**stage, "inputs": tuple(stage["inputs"])}) for key, stage in content["stages"].items()
        }
        return cls(**content)


def make_plan(settings: SweepSettings, resolve: Resolve, *, overlays: Sequence[str] = ()) -> SweepPlan:
    """Combine values and seeds into runs, and find out which of their stages are the same.

    Args:
        settings: The sweep file.
        resolve: Parses a configuration as `drip fit` does.
        overlays: Laid over every stage's configurations, before the factors' own.

    Raises:
        InputError: overlays contradict each other or a configuration is wrong.
    """
    stages: dict[str, PlannedStage] = {}
    runs = []
    resolved: dict[tuple[str, ...], str] = {}

    def resolve_once(arguments: Sequence[str]) -> str:
        key = tuple(arguments)
        if key not in resolved:
            resolved[key] = resolve(arguments)
        return resolved[key]

    for names in itertools.product(*settings.factors.values()):
        factors = dict(zip(settings.factors, names, strict=True))
        chosen = [settings.factors[factor][name] for factor, name in factors.items()]
        for seed in settings.seeds:
            name = f"{'-'.join(_slug(value) for value in names)}-seed{seed}"
            run, needed = _plan_run(settings, chosen, seed, resolve_once, overlays)
            stages |= {stage.key: stage for stage in needed}
            runs.append(PlannedRun(name=name, factors=factors, seed=seed, **run))
    if len({run.name for run in runs}) < len(runs):
        raise InputError("two values differ in nothing but signs: name them differently")
    return SweepPlan(
        title=settings.title,
        scale=settings.scale,
        factors={factor: list(values) for factor, values in settings.factors.items()},
        seeds=settings.seeds,
        metrics=settings.report.metrics,
        pictures=settings.report.pictures,
        runs=runs,
        stages=stages,
    )


def _plan_run(
    settings: SweepSettings, values: Sequence[FactorValue], seed: int, resolve: Resolve, overlays: Sequence[str]
) -> tuple[dict[str, Any], list[PlannedStage]]:
    """The chain of one run: its keys and overlays, and the stages themselves."""
    left_out = {name for value in values for name in value.without}
    bases = {name: _base(stage, overlays) for name, stage in settings.stages.items() if name not in left_out}
    known = {name: yaml.safe_load(resolve(base)) for name, base in bases.items() if any(value.set for value in values)}
    set_by_factors = settings_of_stages(values, known, stages=settings.stages)
    chain: dict[str, PlannedStage] = {}
    own: dict[str, list[str]] = {}
    for name, stage in settings.stages.items():
        own[name] = [path for value in values for path in value.overlays.get(name, [])]
        if name in bases:
            change = own[name], set_by_factors.get(name, {})
            chain[name] = _plan_training(name, stage, bases[name], *change, seed, chain, resolve)
        elif own[name]:
            raise InputError(f"{own[name][0]} is laid over {name}, which another value leaves out")
    options: dict[str, Any] = {}
    for value in values:
        twice = options.keys() & value.test.keys()
        if twice:
            raise InputError(f"two factors both set the option {min(twice)} of the test: no run can have both")
        options |= value.test
    if not chain:
        raise InputError("a combination of values leaves out every stage")
    test = _plan_test(settings.test | options, list(chain.values())[-1])
    run = {
        "stages": {name: stage.key for name, stage in chain.items()} | {TEST: test.key},
        "overlays": {name: files for name, files in own.items() if files},
        "settings": {name: keys for name, keys in set_by_factors.items() if keys},
    }
    return run, [*chain.values(), test]


def _plan_training(
    name: str,
    stage: StageSettings,
    base: Sequence[str],
    own: Sequence[str],
    set_by_factors: Mapping[str, str],
    seed: int,
    chain: Mapping[str, PlannedStage],
    resolve: Resolve,
) -> PlannedStage:
    inputs = tuple(dict.fromkeys(other for value in stage.inputs.values() for other in re.findall(r"\{(\w+)\}", value)))
    missing = [other for other in inputs if other not in chain]
    if missing:
        raise InputError(f"stage {name} needs {missing[0]}, which a value leaves out")
    set_here = _settings(stage, inputs)
    if own or set_by_factors:
        check_overlays(own, base=yaml.safe_load(resolve(base)), settings=set_by_factors, own=set_here)
    words = [f"--{key}={value}" for key, value in {**set_by_factors, **set_here}.items()]
    config = resolve([*base, *(f"--config={path}" for path in own), *words])
    config = config.replace(str(_ANY_SEED), str(seed if stage.seed is None else stage.seed))
    for other in inputs:
        config = config.replace(f"INPUT-{other}", chain[other].key)
    content = yaml.safe_load(config)
    key = f"{name}-{_digest(json.dumps(content, sort_keys=True), _data_digest(content['data']['init_args']))}"
    return PlannedStage(
        key=key,
        kind=name,
        inputs=tuple(chain[other].key for other in inputs),
        config=config.replace(_SELF, key),
        options={},
        steps=content["trainer"]["max_steps"],
    )


def _base(stage: StageSettings, overlays: Sequence[str]) -> list[str]:
    """What the factors' own changes are laid over."""
    return [f"--config={path}" for path in (*stage.configs, *overlays)]


def _settings(stage: StageSettings, inputs: Sequence[str]) -> dict[str, str]:
    """What the sweep itself sets: the seed, the run folder, the inputs; the progress is its own to show."""
    folders = {other: f"{STAGES_FOLDER}/INPUT-{other}" for other in inputs}
    return {
        "seed_everything": str(_ANY_SEED),
        "trainer.default_root_dir": f"{STAGES_FOLDER}/{_SELF}",
        "trainer.enable_progress_bar": "false",
        **{key: value.format(**folders) for key, value in stage.inputs.items()},
    }


def _plan_test(options: dict[str, Any], last: PlannedStage) -> PlannedStage:
    if isinstance(yaml.safe_load(last.config)["data"]["init_args"]["evaluation"], Mapping) and "data" not in options:
        raise InputError(f"{last.kind} has several evaluation sets: say by `test: {{data: DIR}}` which one counts")
    digest = _digest(json.dumps(options, sort_keys=True), last.key)
    return PlannedStage(key=f"{TEST}-{digest}", kind=TEST, inputs=(last.key,), config="", options=options, steps=0)


def _data_digest(data: Mapping[str, Any]) -> str:
    """What is in the folders of shards, where they can be looked at: other data makes another stage."""
    splits = [data[split] for split in ("foregrounds", "backgrounds", "evaluation")]
    paths = [Path(folder) / "index.json" for split in splits for folder in folders_in(split)]
    return _digest(*(path.read_text() if path.is_file() else "" for path in paths))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]


def _slug(value: str) -> str:
    return re.sub(r"\W+", "_", value.strip()).strip("_")
