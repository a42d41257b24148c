"""Quality and seconds against denoising steps: the paper's Fig. 8 for any methods."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drip_lightning.evaluation.table import UNITS


def steps_points(summary: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """For each row of a sampled method its points: steps, and every metric's mean and deviation over seeds."""
    protocol = summary["protocol"]
    points: dict[str, list[dict[str, Any]]] = {}
    for method in protocol["methods"]:
        if method["steps"] is None:
            continue
        for row in method["rows"]:
            for steps in sorted(protocol["steps"]):
                tail = f", {steps} step{'' if steps == 1 else 's'}"
                points.setdefault(row, []).append({"steps": steps, **summary["rows"][row + tail]})
    return points


def steps_csv(summary: Mapping[str, Any]) -> str:
    """One line a row and number of steps: means and deviations, raw, and seconds an image."""
    stream = io.StringIO()
    points = steps_points(summary)
    names = list(dict.fromkeys(name for own in points.values() for point in own for name in point if name != "steps"))
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["row", "steps", *(f"{name}{part}" for name in names for part in ("", "_sd"))])
    for row, own in points.items():
        for point in own:
            cells = [point[name][part] if name in point else None for name in names for part in ("mean", "sd")]
            writer.writerow([row, point["steps"], *("" if cell is None else cell for cell in cells)])
    return stream.getvalue()


def draw_steps(summary: Mapping[str, Any], path: Path) -> None:
    """Save the curves as a picture: SAD and MSE of alpha, SAD of the foreground if known, and seconds."""
    from matplotlib.figure import Figure

    region = summary["protocol"]["region"]
    points = steps_points(summary)
    names = [f"{name}_{region}" for name in ("alpha_sad", "alpha_mse", "foreground_sad")]
    shown = [name for name in names if all(name in point for own in points.values() for point in own)] + ["seconds"]
    figure = Figure(figsize=(3.4 * len(shown), 3.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(shown)), shown, strict=True):
        heading, factor = UNITS.get(name.removesuffix(f"_{region}"), ("seconds an image", 1.0))
        for row, own in points.items():
            means = [factor * point[name]["mean"] for point in own]
            spreads = [factor * (point[name]["sd"] or 0) for point in own]
            axes.errorbar([point["steps"] for point in own], means, yerr=spreads, marker="o", capsize=3, label=row)
        axes.set(xscale="log", xlabel="denoising steps", title=heading)
        ticks = [point["steps"] for point in next(iter(points.values()))]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.axes[0].legend(fontsize="small")
    figure.savefig(path, dpi=120)
