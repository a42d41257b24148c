"""Evaluate methods on a set, from the first picture to the tables: what `drip test` does."""

import json
import logging
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Trainer

from drip_lightning import __version__
from drip_lightning.data.datasets import EvaluationPictures
from drip_lightning.data.shards import ShardFolder
from drip_lightning.errors import InputError
from drip_lightning.evaluation.evaluation import Evaluation
from drip_lightning.evaluation.files import per_image_csv
from drip_lightning.evaluation.journal import Journal, write_whole
from drip_lightning.evaluation.method import Method
from drip_lightning.evaluation.plan import Plan
from drip_lightning.evaluation.summary import FORMAT_VERSION, all_rows, complete_results, summarise
from drip_lightning.evaluation.table import tables

_CACHE_BYTES = 1 << 28
_EXPECTED_WARNINGS = (
    "does not have many workers",
    "isinstance.treespec, LeafSpec.. is deprecated",  # Lightning's own
    "The `srun` command is available",
)


@dataclass(frozen=True)
class Report:
    """How an evaluation ended.

    Attributes:
        table: `table.md`.
        excluded: Pictures that were left out, by number, and why.
    """

    table: str
    excluded: dict[int, str]


def evaluate(methods: Sequence[Method], plan: Plan, *, trainer: Trainer, overwrite: bool = False) -> Report | None:
    """Measure every method on every picture, and write the results to `plan.out`.

    Interrupted, it goes on where it was. On several ranks each picture is measured on one of them.

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
    twice = [row for row, count in Counter(all_rows(methods, plan)).items() if count > 1]
    if twice:
        raise InputError(f"two methods are both called {twice[0]!r}: name them, NAME=METHOD")
    folder = ShardFolder(plan.data, cache_bytes=_CACHE_BYTES)
    pictures = EvaluationPictures(folder)
    journal = Journal(plan.out / "results")
    protocol = _protocol(methods, plan, folder, precision=str(trainer.precision))
    if trainer.is_global_zero:
        journal.open(protocol, overwrite=overwrite)
    for method in methods:
        trainer.test(Evaluation(method, plan, journal, pictures), verbose=False)
    if not trainer.is_global_zero:
        return None
    return _publish(methods, plan, journal, protocol, images=min(len(pictures), plan.limit or len(pictures)))


def _protocol(methods: Sequence[Method], plan: Plan, folder: ShardFolder, *, precision: str) -> dict[str, Any]:
    """Everything that decides the results."""
    index = folder.index
    return {
        "version": __version__,
        "set": plan.set_name or index.converter,
        "data": plan.data,
        "shards": [shard.sha256 for shard in index.shards],
        "region": plan.region,
        "resolution": "original",
        "trimap": "of the set; grey levels 1 to 254 are unknown",
        "steps": list(plan.steps),
        "seeds": list(plan.seeds),
        "ensemble": plan.ensemble,
        "limit": plan.limit,
        "precision": precision,
        "methods": [
            {"name": method.name, "rows": list(method.rows), "steps": method.default_steps, **method.describe()}
            for method in methods
        ],
    }


def _publish(
    methods: Sequence[Method], plan: Plan, journal: Journal, protocol: dict[str, Any], *, images: int
) -> Report:
    rows, missing = complete_results(journal.results(), methods, plan, images=images)
    reasons = journal.failures()
    unmeasured = [number for number in missing if number not in reasons]
    if unmeasured:
        raise InputError(f"{len(unmeasured)} of {images} pictures are not measured yet: run it again to go on")
    excluded = {number: reasons[number] for number in missing}
    if not rows:
        raise InputError(f"none of the {images} pictures could be measured; the first: {next(iter(excluded.values()))}")
    count = len({row.result["number"] for row in rows})
    assert count + len(excluded) == images, "every picture is either measured or left out"
    shown = protocol | {
        "count": count,
        "excluded": [{"number": number, "reason": reason} for number, reason in excluded.items()],
    }
    summary = {"format": FORMAT_VERSION, "protocol": shown, **summarise(rows, plan)}
    write_whole(plan.out / "per_image.csv", per_image_csv(rows, plan.region))
    write_whole(plan.out / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    table = tables(summary)
    write_whole(plan.out / "table.md", table)
    return Report(table=table, excluded=excluded)


def quiet_trainer(accelerator: str, devices: int, precision: str) -> Trainer:
    """A trainer that evaluates and leaves nothing else behind."""
    for message in _EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message=f".*{message}")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return Trainer(
        accelerator=accelerator,
        devices=devices,
        precision=precision,  # type: ignore[arg-type]
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
