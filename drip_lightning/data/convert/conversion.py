"""A source becomes a folder of shards: in parallel, in order, and resumable to the byte."""

import json
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from drip_lightning.data.convert.catalogue import credits_of
from drip_lightning.data.convert.kind import Kind, attempt
from drip_lightning.data.convert.outcome import Sample
from drip_lightning.data.convert.report import ConversionReport, counts
from drip_lightning.data.convert.sources import Finding, Listing
from drip_lightning.data.in_order import in_order, processes
from drip_lightning.data.shards.index import INDEX_NAME, ShardIndex, read_index
from drip_lightning.data.shards.writer import JOURNAL_NAME, ShardWriter, difference, unexpected_files
from drip_lightning.errors import InputError

DUPLICATE = "duplicate"
BYTES_PER_SHARD = 1 << 27
"""A shard is finished at 134 MB, whatever its samples: loaders hold the shard that they read from."""


@dataclass(frozen=True)
class Conversion:
    """A finished folder, what became of the source's files, and whether it was finished before."""

    index: ShardIndex
    report: ConversionReport
    reused: bool


def convert(
    kind: Kind,
    out: Path,
    *,
    samples_per_shard: int = 250,
    licence: str = "",
    workers: int = 2,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Conversion:
    """Make a folder of shards of a source, or finish one that was begun.

    The bytes depend on the source's files and the arguments alone, not on `workers` or on interruptions.

    Args:
        kind: What the source is.
        out: Made if missing; must be empty, or this conversion's own.
        samples_per_shard: Size of every shard but the last, and of those that are finished at `BYTES_PER_SHARD`.
        licence: What may be done with the samples, for the index; a published set says it itself.
        workers: Processes that decode and encode; 1 does it in this one.
        advance: Is told how many of how many jobs are done.

    Raises:
        InputError: nothing usable in the source, or OUT cannot be used for it.
    """
    if workers < 1:
        raise InputError(f"workers: expected 1 or more, got {workers}")
    _check_apart(kind.sources, out)
    found = kind.find()
    if not found.jobs:
        raise InputError(_nothing_in(kind.sources, found))
    thanked = credits_of(found.jobs)
    licences = sorted({entry["licence"] for entry in thanked if "licence" in entry})
    arguments = {
        "sources": [str(source) for source in kind.sources],
        **kind.arguments(),
        "samples_per_shard": samples_per_shard,
        "bytes_per_shard": BYTES_PER_SHARD,
        "files": found.fingerprint,
        **({"credits": thanked} if thanked else {}),
    }
    converter = f"prepare {kind.name}"
    if (out / INDEX_NAME).exists():
        return _reused(out, converter, arguments)
    _check_ours(out)
    writer = ShardWriter(
        out,
        converter=converter,
        arguments=arguments,
        samples_per_shard=samples_per_shard,
        bytes_per_shard=BYTES_PER_SHARD,
        licence=licence or kind.licence or "; ".join(licences),
        resume=True,
    )
    with writer:
        report = _write(writer, kind, found, workers=workers, advance=advance)
        if not report.written:
            raise InputError(f"none of the {report.listed} files can be used: {counts(report.refused)}")
    return Conversion(read_index(out), report, reused=False)


def _write(
    writer: ShardWriter, kind: Kind, found: Listing, *, workers: int, advance: Callable[[int, int], None]
) -> ConversionReport:
    if writer.samples:
        report, done, digests = (
            ConversionReport.from_json(writer.report),
            writer.progress["done"],
            _written_digests(writer.finished),
        )
    else:
        report = ConversionReport(len(found.jobs) + len(found.refused), 0, list(found.refused), [], dict(found.ignored))
        done, digests = 0, dict[str, str]()

    def describe() -> None:
        writer.report, writer.progress = report.as_json(), {"done": done}

    writer.describe = describe
    jobs = found.jobs[done:]
    with processes(workers) as executor:
        outcomes = in_order(executor, partial(attempt, kind), jobs, ahead=4 * workers)
        for job, outcome in zip(jobs, outcomes, strict=True):
            done += 1
            if isinstance(outcome, Sample) and outcome.digest in digests:
                twin = Finding(job.label, DUPLICATE, f"the same picture as {digests[outcome.digest]}")
                if kind.is_test_set:
                    report.warned.append(twin)
                else:
                    outcome = twin
            if isinstance(outcome, Finding):
                report.refused.append(outcome)
            else:
                digests.setdefault(outcome.digest, job.label)
                report.warned += [Finding(job.label, warning) for warning in outcome.warnings]
                report.written += 1
                origin = {"source": job.label, "pixels": outcome.digest, **job.facts}
                members = {**outcome.members, "json": json.dumps(origin, ensure_ascii=False).encode()}
                writer.write({"__key__": job.key, **members})
            advance(done, len(found.jobs))
    return report


def _written_digests(shards: Iterable[Path]) -> dict[str, str]:
    """Digest to source of the samples in finished shards, whose pictures are not read for it."""
    digests: dict[str, str] = {}
    for shard in shards:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.name.endswith(".json") else None
                if content is not None:
                    origin = json.load(content)
                    digests.setdefault(origin["pixels"], origin["source"])
    return digests


def _check_apart(sources: tuple[Path, ...], out: Path) -> None:
    here = out.resolve()
    for source in sources:
        if here == source.resolve() or source.resolve() in here.parents:
            raise InputError(f"OUT {out} lies in the source {source}: choose a folder elsewhere")


def _check_ours(out: Path) -> None:
    """Refuse a file, and a folder with anything in it but an interrupted conversion."""
    if out.exists() and not out.is_dir():
        raise InputError(f"OUT {out} is a file: name a folder")
    others = unexpected_files(out)
    if others:
        raise InputError(f"OUT {out} holds other files ({others[0]}): choose an empty or a new folder")


def _reused(out: Path, converter: str, arguments: dict[str, Any]) -> Conversion:
    index = read_index(out)
    if index.converter != converter:
        raise InputError(f"{out} was made by `{index.converter}`: choose another OUT or remove it")
    if index.arguments != arguments:
        raise InputError(
            f"{out} was made with other arguments ({difference(index.arguments, arguments)}): choose another OUT or "
            "remove it"
        )
    (out / JOURNAL_NAME).unlink(missing_ok=True)  # of a process that was killed right after the index
    return Conversion(index, ConversionReport.from_json(index.report), reused=True)


def _nothing_in(sources: tuple[Path, ...], found: Listing) -> str:
    where = ", ".join(map(str, sources))
    if found.refused:
        return f"nothing usable in {where}: {counts(found.refused)}; the first is {found.refused[0].file}"
    others = ", ".join(f"{count} {suffix}" for suffix, count in found.ignored.items())
    return f"no pictures in {where}" + (f", only {others}" if others else ": it is empty")
