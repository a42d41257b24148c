"""Evaluate methods on a set, from the first picture to the tables: what `drip test` does."""

import json
import logging
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer

from drip_lightning import __version__
from drip_lightning.data.datasets import EvaluationPictures
from drip_lightning.data.shards.reader import ShardFolder
from drip_lightning.errors import InputError, raised_as
from drip_lightning.evaluation.curve import draw_steps, steps_csv
from drip_lightning.evaluation.evaluation import Evaluation
from drip_lightning.evaluation.files import per_image_csv
from drip_lightning.evaluation.journal import Journal, writing_to
from drip_lightning.evaluation.method import Method
from drip_lightning.evaluation.plan import EvaluationPlan
from drip_lightning.evaluation.summary import FORMAT_VERSION, RowResult, all_rows, complete_results, summarise
from drip_lightning.evaluation.table import report
from drip_lightning.evaluation.worst import WorstCases
from drip_lightning.files import whole_file, write_text_whole
from drip_lightning.lit.callbacks.progress import RunProgressBar
from drip_lightning.lit.ranks.parallel import check_devices

_MOST_NAMED = 5
_EXPECTED_WARNINGS = (
    "does not have many workers",
    "isinstance.treespec, LeafSpec.. is deprecated",  # Lightning's own
    "The `srun` command is available",
    "Total length of `DataLoader` across ranks is zero",  # nothing is left to do
)


@dataclass(frozen=True)
class EvaluationReport:
    """How an evaluation ended.

    Attributes:
        table: `table.md`.
        excluded: Pictures that were left out, by number, and why.
    """

    table: str
    excluded: dict[int, str]


def evaluate(
    methods: Sequence[Method], plan: EvaluationPlan, *, trainer: Trainer, overwrite: bool = False
) -> EvaluationReport | None:
    """Measure every method on every picture, and write the results to `plan.out`.

    Interrupted, it resumes where it was. On several ranks each picture is measured on one of them.

    Args:
        methods: What to compare, by different names.
        plan: On what, and how.
        trainer: Brings device, precision and ranks.
        overwrite: Replace results of another protocol.

    Returns:
        The report, on the first rank; none on the others.

    Raises:
        InputError: there are no such shards, `plan.out` holds results of another protocol, or no picture was left.
    """
    names = all_rows(methods, plan)
    twice = [row for row, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"two methods are both called {twice[0]!r}: name them, NAME=METHOD")
    folder = ShardFolder(plan.data)
    pictures = EvaluationPictures(folder)
    journal = Journal(plan.out / "results")
    protocol = _protocol(methods, plan, folder, precision=str(trainer.precision))
    if trainer.is_global_zero:
        journal.open(protocol, overwrite=overwrite)
    worst = WorstCases(journal.folder / "worst", names, plan.worst)
    if trainer.is_global_zero:
        _tell_left_over(methods, folder)
    for method in methods:
        try:
            trainer.test(Evaluation(method, plan, journal, pictures, worst), verbose=False)
        except SystemExit as stop:
            if isinstance(stop.__context__, KeyboardInterrupt):  # Lightning turns it into exit status 1
                raise KeyboardInterrupt from stop
            raise
    if not trainer.is_global_zero:
        return None
    images = min(len(pictures), plan.limit or len(pictures))
    rows, excluded = _counted(methods, plan, journal, images=images)
    summary = {
        "format": FORMAT_VERSION,
        "protocol": protocol | _what_was_measured(rows, excluded),
        **summarise(rows, plan),
    }
    return EvaluationReport(table=_write(summary, rows, plan, worst), excluded=excluded)


def conclude(report: EvaluationReport | None, plan: EvaluationPlan, *, allow_broken: bool = False) -> None:
    """Print the table, on the rank that has it.

    Raises:
        InputError: pictures were left out, and that is not allowed.
    """
    if report is None:
        return
    print(report.table)
    print(f"results: {plan.out}")
    if report.excluded and not allow_broken:
        number, reason = next(iter(report.excluded.items()))
        raise InputError(
            f"{len(report.excluded)} pictures were left out, such as number {number} ({reason}): the table is of the "
            "others; --allow-broken accepts that"
        )


def _tell_left_over(methods: Sequence[Method], folder: ShardFolder) -> None:
    """Name a method's files that belong to no picture of the set."""
    keys = [folder.key(number) for number in range(len(folder))]
    for method in methods:
        names = method.left_over(keys)
        if names:
            named = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
            print(f"{method.name}: {len(names)} files belong to no picture of the set: {named}", file=sys.stderr)


def _protocol(
    methods: Sequence[Method], plan: EvaluationPlan, folder: ShardFolder, *, precision: str
) -> dict[str, Any]:
    """Everything that decides the results."""
    index = folder.index
    return {
        "version": __version__,
        "set": plan.set_name or index.converter.removeprefix("prepare "),
        "data": plan.data,
        "shards": [shard.sha256 for shard in index.shards],
        "region": plan.region,
        "resolution": "original, 8 bits",
        "trimap": "of the set; grey levels 1 to 254 are unknown, elsewhere alpha is the trimap's",
        "steps": list(plan.steps),
        "seeds": list(plan.seeds),
        "ensemble": plan.ensemble,
        "limit": plan.limit,
        "foreground_channels": plan.foreground_channels,
        "precision": precision,
        "methods": [
            {"name": method.name, "rows": list(method.rows), "steps": method.default_steps, **method.describe()}
            for method in methods
        ],
    }


def _counted(
    methods: Sequence[Method], plan: EvaluationPlan, journal: Journal, *, images: int
) -> tuple[list[RowResult], dict[int, str]]:
    """The results that count, and the pictures that were left out, with reasons."""
    rows, missing = complete_results(journal.results(), methods, plan, images=images)
    reasons = journal.failures()
    unmeasured = [number for number in missing if number not in reasons]
    if unmeasured:
        raise InputError(f"{len(unmeasured)} of {images} pictures are not measured yet: run it again to resume")
    excluded = {number: reasons[number] for number in missing}
    if not rows:
        raise InputError(f"none of the {images} pictures could be measured; the first: {next(iter(excluded.values()))}")
    count = len({row.result["number"] for row in rows})
    assert count + len(excluded) == images, "every picture is either measured or left out"
    return rows, excluded


def _what_was_measured(rows: Sequence[RowResult], excluded: dict[int, str]) -> dict[str, Any]:
    """What the protocol can only tell in the end."""
    first = [one for one in rows if (one.row, one.result["seed"]) == (rows[0].row, rows[0].result["seed"])]
    areas = [one.result["height"] * one.result["width"] for one in first]
    sizes = [f"{area / 1e6:.2g}" for area in (min(areas), max(areas))]
    return {
        "count": len(first),
        "excluded": [{"number": number, "reason": reason} for number, reason in excluded.items()],
        "sizes": f"{' to '.join(dict.fromkeys(sizes))} megapixels",
        "unknown_share": sum(one.result["unknown_pixels"] for one in first) / sum(areas),
        "foregrounds": sum(any("foreground" in name for name in one.scores["metrics"]) for one in first),
    }


def _write(summary: dict[str, Any], rows: Sequence[RowResult], plan: EvaluationPlan, worst: WorstCases) -> str:
    """Write every file of the results; return `table.md`."""
    table = report(summary)
    texts = {
        "per_image.csv": per_image_csv(rows, plan.region),
        "summary.json": json.dumps(summary, indent=1, ensure_ascii=False) + "\n",
        "table.md": table,
    }
    pictures = {"worst.png": worst.sheet(rows, f"alpha_mad_{plan.region}").save}
    if len(plan.steps) > 1:
        texts["steps.csv"] = steps_csv(summary)
        pictures["steps.png"] = partial(draw_steps, summary)
    with writing_to(plan.out):
        for name, save in pictures.items():
            with whole_file(plan.out / name) as file:
                save(file)
        for name, text in texts.items():
            write_text_whole(plan.out / name, text)
    return table


def quiet_trainer(accelerator: str, devices: int, precision: str) -> Trainer:
    """A trainer that evaluates and leaves nothing else behind.

    Raises:
        InputError: there is no such accelerator or precision, or no GPU for several devices.
    """
    check_devices(accelerator, devices)
    for message in _EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message=f".*{message}")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with raised_as(InputError, MisconfigurationException, ValueError, message=str):
        return Trainer(
            accelerator=accelerator,
            devices=devices,
            precision=precision,  # type: ignore[arg-type]
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            callbacks=[RunProgressBar()],
            use_distributed_sampler=False,
        )
