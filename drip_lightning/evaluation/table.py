"""The tables that people read: Markdown, in the field's units, with the protocol they hold for."""

from collections.abc import Mapping, Sequence
from typing import Any

UNITS = {
    "alpha_sad": ("SAD /10³", 1e-3),
    "alpha_mse": ("MSE ×10³", 1e3),
    "alpha_mad": ("MAD ×10³", 1e3),
    "alpha_gradient": ("Grad /10³", 1e-3),
    "alpha_connectivity": ("Conn /10³", 1e-3),
    "foreground_sad": ("αF SAD /10³", 1e-3),
    "foreground_mse": ("αF MSE ×10³", 1e3),
}
"""Column to heading and factor: metrics are raw everywhere else."""


def tables(summary: Mapping[str, Any]) -> str:
    """`table.md` of a summary: protocol, and scores."""
    protocol, rows = summary["protocol"], summary["rows"]
    columns = [name for name in UNITS if any(f"{name}_{protocol['region']}" in row for row in rows.values())]
    body = [
        [name, *(_cell(row.get(f"{column}_{protocol['region']}"), UNITS[column][1]) for column in columns)]
        for name, row in rows.items()
    ]
    return markdown(["method", *(UNITS[column][0] for column in columns)], body) + "\n"


def markdown(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table, first column to the left, the others to the right."""
    widths = [max(len(row[place]) for row in [header, *body]) for place in range(len(header))]
    lines = [
        "| "
        + " | ".join(_fit(cell, width, place) for place, (cell, width) in enumerate(zip(row, widths, strict=True)))
        + " |"
        for row in [header, *body]
    ]
    rule = "|" + "|".join("-" * (width + 1) + (":" if place else "-") for place, width in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _fit(cell: str, width: int, place: int) -> str:
    return cell.rjust(width) if place else cell.ljust(width)


def _cell(score: Mapping[str, float | None] | None, factor: float) -> str:
    if score is None or score["mean"] is None:
        return ""
    mean = f"{score['mean'] * factor:.3f}"
    return mean if score["sd"] is None else f"{mean} ± {score['sd'] * factor:.3f}"
