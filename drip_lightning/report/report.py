"""`report/` of a sweep's folder: everything that is known of it, made anew each time."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from drip_lightning.files import write_text_whole
from drip_lightning.report.curves import draw_factor_curve, draw_training_curves
from drip_lightning.report.grid import draw_grid
from drip_lightning.report.tables import Column, columns, csv_table, difference_table, latex_table, score_table
from drip_lightning.report.variants import Variant, marginal_variants, read_variants
from drip_lightning.sweep.plan import SweepPlan

_READING = """\
The first table: mean ± sample deviation over seeds of the mean over pictures. The second: the difference to
*{first}*, seed by seed: mean ± half of the 95 % interval (Student's t over seeds; † where it leaves out zero, so that
the difference exceeds the spread of the seeds), and p of a two-sided Wilcoxon signed-rank test over pictures, each
picture averaged over seeds first. p says whether other pictures would show the difference of these very networks; it
says nothing of other seeds, and is not corrected for the number of comparisons."""
_MARGINAL = """\
Its values, each averaged over the combinations of the other factors in which all of its values were tested with a seed.
A mean hides where the factors depend on each other: the first table shows that."""


def write_report(folder: Path) -> str:
    """Write tables, curves and pictures of what is finished so far.

    Args:
        folder: A sweep's folder; nothing outside it is read.

    Returns:
        The Markdown tables, and where everything is.

    Raises:
        InputError: the folder is not a sweep's, or nothing in it is finished.
    """
    plan = SweepPlan.load(folder)
    variants = read_variants(plan, folder)
    shown = columns(plan.metrics)
    out = folder / "report"
    out.mkdir(exist_ok=True)
    tested = [variant for variant in variants if variant.runs]
    marginals = {factor: marginal_variants(plan, tested, factor) for factor in _several_valued(plan)}
    page = _page(plan, variants, marginals, shown)
    written = {"table.md": page, "table.csv": csv_table(tested, shown)}
    written |= {f"marginal_{factor}.csv": csv_table(values, shown) for factor, values in marginals.items()}
    written["table.tex"] = latex_table(tested, shown, caption=plan.title)
    for name, text in written.items():
        write_text_whole(out / name, text)
    drawn = [
        *draw_training_curves(plan, tested, folder, out),
        *draw_factor_curve(plan, tested, shown[0], out),
        *draw_grid(plan, tested, folder, out),
    ]
    return f"{page}\n{', '.join(str(path) for path in [*(out / name for name in written), *drawn])}"


def _several_valued(plan: SweepPlan) -> list[str]:
    """The factors of which each has tables of its own: a single one's would be the whole table again."""
    several = [factor for factor, values in plan.factors.items() if len(values) > 1]
    return several if len(several) > 1 else []


def _page(
    plan: SweepPlan, variants: Sequence[Variant], marginals: Mapping[str, Sequence[Variant]], shown: Sequence[Column]
) -> str:
    """`table.md`: both tables, what they say, and what is missing from them; then each factor's by itself."""
    tested = [variant for variant in variants if variant.runs]
    pictures = {len(one[plan.metrics[0]]) for variant in variants for one in variant.scores.values()}
    missing = [f"{variant.name}: {len(variant.runs)} of {len(plan.seeds)}" for variant in variants]
    missing = [text for text, variant in zip(missing, variants, strict=True) if len(variant.runs) < len(plan.seeds)]
    counts = " or ".join(map(str, sorted(pictures)))
    facts = f"Scale {plan.scale}; seeds {', '.join(map(str, plan.seeds))}; {counts} pictures."
    gaps = [f"Unfinished, by seeds: {'; '.join(missing)}.", ""] if missing else []
    parts = [score_table(tested, shown), "", difference_table(tested, shown), ""]
    parts.append(_READING.format(first=variants[0].name))
    for factor, values in marginals.items():
        parts += [
            "",
            f"## {factor}",
            "",
            _MARGINAL,
            "",
            score_table(values, shown),
            "",
            difference_table(values, shown),
        ]
    return "\n".join([f"# {plan.title}", "", facts, "", *gaps, *parts, ""])
