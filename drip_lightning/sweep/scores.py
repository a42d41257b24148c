"""What `drip test` measured of a run, picture by picture."""

import csv
from pathlib import Path

from drip_lightning.errors import InputError

_METRICS = ("alpha_", "foreground_")
"""What the names of metrics begin with; other columns are about the picture."""

Scores = dict[str, dict[str, float]]
"""Metric to picture to raw value."""


def read_scores(test_folder: Path) -> Scores:
    """Read `per_image.csv`: the method's own row, the file's last, each picture's mean over sampling seeds.

    Raises:
        InputError: the file is missing or not a table of `drip test`.
    """
    path = test_folder / "per_image.csv"
    if not path.is_file():
        raise InputError(f"no scores at {path}: run the sweep again to test what it trained")
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    if not lines or "row" not in lines[0] or "key" not in lines[0]:
        raise InputError(f"{path} is no table of drip test: remove its folder and run the sweep again")
    own = [line for line in lines if line["row"] == lines[-1]["row"]]
    values: dict[str, dict[str, list[float]]] = {}
    for line in own:
        for metric, value in line.items():
            if metric.startswith(_METRICS) and value:
                values.setdefault(metric, {}).setdefault(line["key"], []).append(float(value))
    return {
        metric: {key: sum(several) / len(several) for key, several in pictures.items()}
        for metric, pictures in values.items()
    }


def mean_scores(scores: Scores) -> dict[str, float]:
    """Each metric's mean over the pictures, raw."""
    return {metric: sum(pictures.values()) / len(pictures) for metric, pictures in scores.items()}
