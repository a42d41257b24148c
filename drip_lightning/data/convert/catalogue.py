"""Which of a source's pictures are taken, and what a list beside them says of each: kind, source, licence."""

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from drip_lightning.data.convert.sources import ConversionJob, Finding, Listing
from drip_lightning.errors import InputError

Split = Literal["all", "train", "held-out"]
_COLUMNS = {"kind": "kind", "source": "origin", "licence": "licence", "attribution": "attribution"}
"""Column of the list to its name in a sample's JSON, where `source` is the file."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Some of a source's pictures; all of them unless told otherwise.

    Attributes:
        catalogue: A CSV file with a column `file`, relative to the folder it lies in, and any of `kind`, `source`,
            `licence`, `attribution`. Pictures that are not in it are refused.
        kinds: Only these kinds; all if empty.
        split: One picture in `hold_out` is held out for evaluation, chosen by the hash of its name: the others stay
            where they are when pictures are added or taken away.
        hold_out: See `split`.
        per_kind: At most so many pictures of each kind, chosen by the same hash; None takes all.
    """

    catalogue: Path | None = None
    kinds: tuple[str, ...] = ()
    split: Split = "all"
    hold_out: int = 10
    per_kind: int | None = None

    def __post_init__(self) -> None:
        if self.hold_out < 2:
            raise InputError(f"--hold-out: expected 2 or more, got {self.hold_out}")
        if self.kinds and self.catalogue is None:
            raise InputError("--kinds needs --list, a CSV file that says each picture's kind")
        known = {facts.get("kind", "") for facts in self._facts.values()}
        unknown = [kind for kind in self.kinds if kind not in known]
        if unknown:
            raise InputError(
                f"--kinds: no {', '.join(unknown)} in {self.catalogue}; there are {', '.join(sorted(known))}"
            )

    def arguments(self) -> dict[str, Any]:
        """What was chosen, as an index holds it; nothing for everything."""
        chosen: dict[str, Any] = {"kinds": list(self.kinds)} if self.kinds else {}
        if self.split != "all":
            chosen |= {"split": self.split, "hold_out": self.hold_out}
        return chosen | ({} if self.per_kind is None else {"per_kind": self.per_kind})

    def of(self, source: Listing) -> Listing:
        """The chosen jobs, in order, each with what the list says of it; what is not in the list is refused."""
        found: list[ConversionJob] = []
        unlisted: list[Finding] = []
        for job in source.jobs:
            facts = self._facts.get(os.path.realpath(next(iter(job.files.values()))))
            if facts is None and self.catalogue is not None:
                unlisted.append(Finding(job.label, "not in the list", str(self.catalogue)))
            elif self._is_wanted(job, facts or {}):
                found.append(replace(job, facts=facts or {}))
        taken = Counter[str]()
        kept = set[str]()
        for job in sorted(found, key=lambda job: _hash(job.key)):
            kind = job.facts.get("kind", "")
            taken[kind] += 1
            if self.per_kind is None or taken[kind] <= self.per_kind:
                kept.add(job.key)
        jobs = tuple(job for job in found if job.key in kept)
        return Listing(jobs, (*source.refused, *unlisted), source.ignored)

    def _is_wanted(self, job: ConversionJob, facts: Mapping[str, Any]) -> bool:
        held_out = _hash(job.key) % self.hold_out == 0
        return (not self.kinds or facts.get("kind") in self.kinds) and self.split in (
            "all",
            "held-out" if held_out else "train",
        )

    @cached_property
    def _facts(self) -> dict[str, dict[str, str]]:
        """What the list says, by file."""
        if self.catalogue is None:
            return {}
        try:
            with self.catalogue.open(newline="", encoding="utf-8") as stream:
                rows = list(csv.DictReader(stream))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"--list {self.catalogue} cannot be read ({error})") from error
        if not rows or "file" not in rows[0]:
            raise InputError(f"--list {self.catalogue}: expected a CSV file with a column `file`")
        return {
            os.path.realpath(self.catalogue.parent / row["file"]): {
                name: row[column] for column, name in _COLUMNS.items() if row.get(column)
            }
            for row in rows
        }


EVERYTHING = Choice()
"""All pictures of a source, of which nothing is known."""


def credits_of(jobs: Sequence[ConversionJob]) -> list[dict[str, Any]]:
    """Who is to be thanked for a source's pictures: what their lists say, each combination once, with its count."""
    described = [facts for job in jobs for facts in (job.facts, job.facts.get("background")) if facts]
    counts = Counter(tuple((name, facts[name]) for name in _COLUMNS.values() if name in facts) for facts in described)
    return [{**dict(facts), "files": count} for facts, count in sorted(counts.items()) if facts]


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
