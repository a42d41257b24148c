"""The tables that people read: Markdown, in the field's units, with the protocol they hold for."""

from collections.abc import Mapping, Sequence
from typing import Any

from drip_lightning.evaluation.published import PublishedRow, published_rows

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

_STRATA = {
    "certain": "certain",
    "strand": "thin strands",
    "edge": "opaque edge",
    "translucent": "broad translucency",
}


def report(summary: Mapping[str, Any]) -> str:
    """`table.md`: protocol, scores, published rows, strata."""
    protocol = summary["protocol"]
    parts = [
        f"# {protocol['set']}: {protocol['count']} images, {_REGIONS[protocol['region']]}",
        protocol_lines(protocol),
        scores_table(summary),
        *_published_parts(protocol),
        "## By the true alpha\n\nAlpha's MAD ×10³ of each kind of pixel, and that kind's share of the SAD.\n\n"
        + strata_table(summary),
    ]
    return "\n\n".join(parts) + "\n"


_REGIONS = {"unknown": "unknown region", "whole": "whole image", "fractional": "where 0 < alpha < 1"}


def protocol_lines(protocol: Mapping[str, Any]) -> str:
    """What the figures hold for, as a list."""
    sampled = any(method["steps"] is not None for method in protocol["methods"])
    steps = ", ".join(map(str, protocol["steps"])) or "each method's own"
    lines = [
        f"data: {protocol['data']}" + (f", the first {protocol['limit']}" if protocol["limit"] else ""),
        f"resolution: {protocol['resolution']}, {protocol['sizes']}",
        f"trimap: {protocol['trimap']}; {protocol['unknown_share']:.0%} of the pixels are unknown",
        f"means over images, then over seeds; foreground where it is known: {protocol['foregrounds']} images, "
        + ("channels added" if protocol.get("foreground_channels", "sum") == "sum" else "mean of the channels"),
    ]
    if sampled:
        ensemble = f", median of {protocol['ensemble']} samples" if protocol["ensemble"] > 1 else ""
        seeds = ", ".join(map(str, protocol["seeds"]))
        spread = "; ± is the standard deviation over seeds" if len(protocol["seeds"]) > 1 else ""
        lines.append(f"denoising steps: {steps}; seeds: {seeds}{ensemble}{spread}")
    lines += [_method_line(method) for method in protocol["methods"]]
    if protocol["excluded"]:
        lines.append(f"**left out: {len(protocol['excluded'])} images** that could not be read or matted")
    return "\n".join(f"- {line}" for line in lines)


_KNOWN = "alpha trimap, foreground image"
"""A protocol of an earlier version has no other."""


def _method_line(method: Mapping[str, Any]) -> str:
    steps = f", {method['steps']} steps unless said otherwise" if method["steps"] is not None else ""
    source = f", {method['source']}" if "source" in method else ""
    weights = f", weights {method['weights']}" if "weights" in method else ""
    known = method.get("known", _KNOWN)
    known = "" if known == _KNOWN else f", where the trimap is sure: {known}"
    return f"{method['name']}: {method['kind']}{source}{steps}{weights}{known}"


def scores_table(summary: Mapping[str, Any]) -> str:
    """A row for each method and number of steps."""
    region, rows = summary["protocol"]["region"], summary["rows"]
    columns = [name for name in UNITS if any(f"{name}_{region}" in row for row in rows.values())]
    body = [
        [name, *(_cell(row.get(f"{column}_{region}"), UNITS[column][1]) for column in columns), _seconds(row)]
        for name, row in rows.items()
    ]
    return markdown(["method", *(UNITS[column][0] for column in columns), "s/image"], body)


def _published_parts(protocol: Mapping[str, Any]) -> list[str]:
    """Published rows of the same region beside ours; of others only under a heading that says so."""
    rows = published_rows(protocol["set"])
    same = [row for row in rows if row.region == protocol["region"] and row.given == "trimap"]
    other = [row for row in rows if row not in same]
    parts = []
    if same:
        parts.append("## Published for this set and region\n\nAs reported, not measured here.\n\n" + _published(same))
    if other:
        parts.append(
            "## Published for this set, measured otherwise\n\n**Another region or input: not comparable with the rows "
            "above.**\n\n" + _published(other, otherwise=True)
        )
    return parts


def _published(rows: Sequence[PublishedRow], *, otherwise: bool = False) -> str:
    columns = [column for column in UNITS if any(column in row.scores for row in rows)]
    body = [
        [row.method, *(f"{row.scores[column]:g}" if column in row.scores else "" for column in columns)]
        + ([f"{_REGIONS[row.region]}, given {row.given}"] if otherwise else [])
        + [row.source]
        for row in rows
    ]
    return markdown(
        ["method", *(UNITS[column][0] for column in columns), *(["measured"] if otherwise else []), "source"], body
    )


def strata_table(summary: Mapping[str, Any]) -> str:
    """For each row, every stratum's MAD and its share of the SAD."""
    strata = summary["strata"]
    body = [[name, *(_stratum(own[stratum]) for stratum in _STRATA)] for name, own in strata.items()]
    own = next(iter(strata.values()))
    body.append(["share of the pixels", *(f"{own[stratum]['pixels_share']:.1%}" for stratum in _STRATA)])
    return markdown(["method", *_STRATA.values()], body)


def _stratum(error: Mapping[str, float | None]) -> str:
    if error["alpha_mad"] is None:
        return "no such pixel"
    return f"{error['alpha_mad'] * 1e3:.2f} ({error['alpha_sad_share']:.0%})"


def markdown(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table, first column to the left, the others to the right."""
    widths = [max(len(row[place]) for row in [header, *body]) for place in range(len(header))]
    rule = "|" + "|".join("-" * (width + 1) + (":" if place else "-") for place, width in enumerate(widths)) + "|"
    lines = ["| " + " | ".join(map(_fit, row, widths, range(len(row)))) + " |" for row in [header, *body]]
    return "\n".join([lines[0], rule, *lines[1:]])


def _fit(cell: str, width: int, place: int) -> str:
    return cell.rjust(width) if place else cell.ljust(width)


def _cell(score: Mapping[str, float | None] | None, factor: float) -> str:
    if score is None or score["mean"] is None:
        return ""
    mean = f"{score['mean'] * factor:.3f}"
    return mean if score["sd"] is None else f"{mean} ± {score['sd'] * factor:.3f}"


def _seconds(row: Mapping[str, Mapping[str, float]]) -> str:
    return f"{row['seconds']['mean']:.3g}"
