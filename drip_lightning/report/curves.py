"""Curves of a sweep as PNG: losses and scores while training, and the score against a factor that is a number."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from drip_lightning.errors import InputError
from drip_lightning.report.statistics import summarise
from drip_lightning.report.tables import Column, columns
from drip_lightning.report.variants import Variant
from drip_lightning.sweep.plan import SweepPlan
from drip_lightning.sweep.settings import TEST

_LOSS = "train/loss"
_PANELS_A_ROW = 3
_SMOOTHED_OVER = 5
"""Logged losses in a running mean: single batches of a tiny run say little."""

Curve = dict[int, float]
"""Training step to value."""


def draw_training_curves(plan: SweepPlan, variants: Sequence[Variant], folder: Path, out: Path) -> list[Path]:
    """`curves.png`: each training stage's loss, and its score on the evaluation set, against training steps.

    The score is the one that its best checkpoint is best by, if it keeps one, else alpha's SAD. A line is the mean over
    seeds, its band reaches from the least to the greatest.
    """
    kinds = list(dict.fromkeys(stage.kind for stage in plan.stages.values() if stage.kind != TEST))
    panels = []
    for kind in kinds:
        tag, heading, factor = _score(plan, kind)
        for name, title, unit in ((_LOSS, "training loss", 1.0), (tag, heading, factor)):
            lines = _lines(variants, kind, name, folder)
            if any(len(curve) > 1 for curves in lines.values() for curve in curves):
                panels.append((f"{kind}: {title}", unit, lines))
    if not panels:
        return []
    rows = math.ceil(len(panels) / _PANELS_A_ROW)
    figure = Figure(figsize=(4.6 * min(len(panels), _PANELS_A_ROW), 3.4 * rows), layout="constrained")
    for place, (title, factor, lines) in enumerate(panels, start=1):
        axis = figure.add_subplot(rows, min(len(panels), _PANELS_A_ROW), place)
        _draw_lines(axis, lines, factor=factor)
        axis.set(title=title, xlabel="training step")
    return [_saved(figure, out / "curves.png")]


def draw_factor_curve(plan: SweepPlan, variants: Sequence[Variant], column: Column, out: Path) -> list[Path]:
    """`FACTOR.png` for each factor whose values are three numbers or more: the score against it, as DRIP Fig. 8."""
    drawn = []
    for factor, values in plan.factors.items():
        if len(values) < 3 or not all(_is_number(value) for value in values):
            continue
        lines: dict[str, list[tuple[float, float, float]]] = {}
        for variant in variants:
            summary = summarise(variant, column.metric)
            if summary is not None:
                rest = ", ".join(value for name, value in variant.factors.items() if name != factor)
                point = (
                    float(variant.factors[factor]),
                    summary.mean * column.factor,
                    (summary.sd or 0) * column.factor,
                )
                lines.setdefault(rest, []).append(point)
        figure = Figure(figsize=(5, 3.6), layout="constrained")
        axis = figure.subplots()
        for name, points in lines.items():
            places, means, deviations = np.array(sorted(points)).T
            axis.errorbar(places, means, yerr=deviations, marker="o", capsize=3, label=name or None)
        axis.set(xlabel=factor.replace("_", " "), ylabel=column.heading, xscale="log")
        axis.set_xticks([float(value) for value in values], values)
        axis.minorticks_off()
        if len(lines) > 1:
            axis.legend(fontsize="small")
        drawn.append(_saved(figure, out / f"{factor}.png"))
    return drawn


def _score(plan: SweepPlan, kind: str) -> tuple[str, str, float]:
    """A stage's score while it trains: its name in the log, its heading, and the factor of its unit."""
    config = yaml.safe_load(next(stage.config for stage in plan.stages.values() if stage.kind == kind))
    best = config.get("checkpoint", {}).get("best") or {}
    tag = best.get("score", "val/alpha_sad_unknown")
    *_, metric = tag.split("/")
    try:
        column = columns([metric])[0]
    except InputError:  # no matte's score, such as val/loss
        return tag, tag, 1.0
    return tag, f"{column.heading}, validation", column.factor


def _lines(variants: Sequence[Variant], kind: str, tag: str, folder: Path) -> dict[str, list[Curve]]:
    """Variant's name to its seeds' curves; a stage that several variants share is drawn once, under the first."""
    drawn: set[str] = set()
    lines: dict[str, list[Curve]] = {}
    for variant in variants:
        keys = dict.fromkeys(run.stages[kind] for run in variant.runs.values() if kind in run.stages)
        new = [key for key in keys if key not in drawn]
        drawn.update(new)
        curves = [curve for key in new if (curve := _read_curve(folder / "stages" / key / "tensorboard", tag))]
        if curves:
            lines[variant.name] = curves
    return lines


def _read_curve(folder: Path, tag: str) -> Curve:
    """What a run logged under a name; of a step that was logged twice, the last."""
    if not folder.is_dir():
        return {}
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    if tag not in events.Tags()["scalars"]:
        return {}
    return {event.step: event.value for event in events.Scalars(tag)}


def _draw_lines(axis: Axes, lines: Mapping[str, list[Curve]], *, factor: float) -> None:
    for name, curves in lines.items():
        steps = sorted(set(curves[0]).intersection(*curves))
        values = np.array([[curve[step] * factor for step in steps] for curve in curves])
        if len(steps) > 4 * _SMOOTHED_OVER:
            kernel = np.ones(_SMOOTHED_OVER) / _SMOOTHED_OVER
            values = np.stack([np.convolve(one, kernel, mode="valid") for one in values])
            steps = steps[_SMOOTHED_OVER - 1 :]
        (line,) = axis.plot(steps, values.mean(axis=0), label=name)
        axis.fill_between(
            steps, values.min(axis=0), values.max(axis=0), color=line.get_color(), alpha=0.15, linewidth=0
        )
    if len(lines) > 1:
        axis.legend(fontsize="small")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _saved(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=130)
    return path
