"""The scores of a sweep as Markdown, CSV and LaTeX, in the field's units."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from drip_lightning.errors import InputError
from drip_lightning.evaluation.table import UNITS, markdown
from drip_lightning.report.statistics import Difference, Summary, compare, summarise
from drip_lightning.report.variants import Variant


@dataclass(frozen=True)
class Column:
    """A metric in the field's units.

    Attributes:
        metric: Its name in `per_image.csv`.
        heading: Its name in tables.
        factor: What raw values are multiplied by.
    """

    metric: str
    heading: str
    factor: float


def columns(metrics: Sequence[str]) -> list[Column]:
    """The tables' columns.

    Raises:
        InputError: a name is not a metric's.
    """
    found = []
    for metric in metrics:
        name, _, region = metric.rpartition("_")
        if name not in UNITS or region not in ("unknown", "whole"):
            raise InputError(f"report.metrics: no metric {metric!r}, expected such as {next(iter(UNITS))}_unknown")
        heading, factor = UNITS[name]
        prefix = "alpha " if name.startswith("alpha") else ""
        found.append(Column(metric, f"{prefix}{heading}{', whole image' if region == 'whole' else ''}", factor))
    return found


def score_table(variants: Sequence[Variant], shown: Sequence[Column]) -> str:
    """A row a variant: mean ± deviation over seeds."""
    body = [
        [variant.name, *(_score(summarise(variant, column.metric), column.factor) for column in shown)]
        for variant in variants
    ]
    return markdown(["", *(column.heading for column in shown)], body)


def difference_table(variants: Sequence[Variant], shown: Sequence[Column]) -> str:
    """A row for each variant but the first: difference to that, its 95 % interval over seeds, and p over pictures."""
    first = variants[0]
    body = [
        [variant.name, *(_difference(compare(variant, first, column.metric), column.factor) for column in shown)]
        for variant in variants[1:]
    ]
    return markdown([f"less {first.name}", *(column.heading for column in shown)], body)


def csv_table(variants: Sequence[Variant], shown: Sequence[Column]) -> str:
    """One line for each variant and metric, with everything that the other tables show, rounded nowhere."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    own = ["mean", "sd", "seeds"]
    against = ["difference", "half_width_95", "exceeds_seeds", "p_wilcoxon_pictures", "paired_seeds", "pictures"]
    writer.writerow([*variants[0].factors, "metric", "unit", *own, *against])
    for variant in variants:
        for column in shown:
            summary = summarise(variant, column.metric)
            difference = None if variant is variants[0] else compare(variant, variants[0], column.metric)
            scores = [""] * len(own)
            if summary is not None:
                scores = [_scaled(summary.mean, column), _scaled(summary.sd, column), str(summary.seeds)]
            rest = [""] * len(against)
            if difference is not None:
                exceeds = "" if difference.exceeds_seeds is None else str(difference.exceeds_seeds).lower()
                lengths = [_scaled(difference.mean, column), _scaled(difference.half_width, column)]
                numbers = [str(difference.seeds), str(difference.pictures)]
                rest = [*lengths, exceeds, f"{difference.p_pictures:.6g}", *numbers]
            writer.writerow([*variant.factors.values(), column.metric, column.heading.split()[-1], *scores, *rest])
    return stream.getvalue()


def latex_table(variants: Sequence[Variant], shown: Sequence[Column], *, caption: str) -> str:
    r"""A `table` for a paper (it needs `booktabs`); a dagger marks what exceeds the spread of the seeds."""
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escaped(caption)}. Mean $\pm$ standard deviation over seeds; $\dagger$: the 95\,\% interval "
        rf"over seeds of the difference to \emph{{{_escaped(variants[0].name)}}} leaves out zero.}}",
        rf"\begin{{tabular}}{{l{'r' * len(shown)}}}",
        r"\toprule",
        " & ".join(["", *(_escaped(column.heading) for column in shown)]) + r" \\",
        r"\midrule",
    ]
    for variant in variants:
        cells = [_escaped(variant.name)]
        for column in shown:
            text = _score(summarise(variant, column.metric), column.factor).replace("±", r"\pm")
            difference = None if variant is variants[0] else compare(variant, variants[0], column.metric)
            mark = r"^\dagger" if difference is not None and difference.exceeds_seeds else ""
            cells.append(f"${text}{mark}$" if text else "")
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def _score(summary: Summary | None, factor: float) -> str:
    if summary is None:
        return ""
    mean = f"{summary.mean * factor:.3f}"
    return mean if summary.sd is None else f"{mean} ± {summary.sd * factor:.3f}"


def _difference(difference: Difference | None, factor: float) -> str:
    if difference is None:
        return ""
    text = f"{difference.mean * factor:+.3f}"
    if difference.half_width is not None:
        text += f" ± {difference.half_width * factor:.3f}{' †' if difference.exceeds_seeds else ''}"
    return f"{text}, p {_p(difference.p_pictures)}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _scaled(value: float | None, column: Column) -> str:
    return "" if value is None else f"{value * column.factor:.9g}"


_LATEX = {"α": r"$\alpha$", "×10³": r"$\times10^3$", "/10³": "$/10^3$", "_": r"\_", "&": r"\&", "%": r"\%", "#": r"\#"}


def _escaped(text: str) -> str:
    for sign, command in _LATEX.items():
        text = text.replace(sign, command)
    return text
