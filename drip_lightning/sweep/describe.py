"""A plan in words, for those who look before they start."""

from pathlib import Path

from drip_lightning.errors import InputError
from drip_lightning.sweep.plan import STAGES_FOLDER, PlannedRun, SweepPlan
from drip_lightning.sweep.settings import TEST


def describe_plan(plan: SweepPlan) -> str:
    """Every run with its overlays and stages, and what all of them cost."""
    lines = [plan.title, f"scale {plan.scale}", ""]
    for number, run in enumerate(plan.runs):
        steps = sum(plan.stages[key].steps for key in run.stages.values())
        lines.append(f"run {number}: {run.name} ({steps} steps)")
        for kind, key in run.stages.items():
            lines.append(f"    {_stage_line(plan, run, kind, key)}")
    total = sum(stage.steps for stage in plan.stages.values())
    unshared = sum(plan.stages[key].steps for run in plan.runs for key in run.stages.values())
    trainings = sum(stage.kind != TEST for stage in plan.stages.values())
    lines += [
        "",
        f"{len(plan.runs)} runs: {trainings} different trainings and {len(plan.stages) - trainings} tests, "
        f"{total} training steps ({unshared} if nothing were shared)",
    ]
    return "\n".join(lines)


def _stage_line(plan: SweepPlan, run: PlannedRun, kind: str, key: str) -> str:
    first = next(other.name for other in plan.runs if key in other.stages.values())
    shared = "" if first == run.name else f", the one of {first}"
    options = "".join(f" {word}" for word in plan.stages[key].option_words)
    overlays = "".join(f" + {Path(path).stem}" for path in run.overlays.get(kind, []))
    settings = run.settings.get(kind, {})
    overlays += "".join(f" + {key.rpartition('.')[2]}={value}" for key, value in settings.items())
    steps = f", {plan.stages[key].steps} steps" if plan.stages[key].steps else ""
    return f"{key}{overlays}{options}{steps}{shared}"


def describe_run(plan: SweepPlan, number: int, stages_folder: Path) -> str:
    """The configuration of each of a run's trainings, as YAML documents.

    Raises:
        InputError: there is no such run.
    """
    if not 0 <= number < len(plan.runs):
        raise InputError(f"--print-run: expected 0 to {len(plan.runs) - 1}, got {number}")
    run = plan.runs[number]
    parts = [f"# run {number}: {run.name}"]
    for kind, key in run.stages.items():
        stage = plan.stages[key]
        if kind == TEST:
            parts.append(" ".join([f"# {key}: drip test {stages_folder / stage.inputs[0]}", *stage.option_words]))
        else:
            parts.append(f"---\n# {key}\n{stage.config.replace(STAGES_FOLDER, str(stages_folder)).rstrip()}")
    return "\n".join(parts)
