"""What a source holds: its pictures with their partners, and the keys they get."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from drip_lightning.data.picture_files import Pictures, printable
from drip_lightning.errors import InputError


@dataclass(frozen=True)
class Finding:
    """Something to report about a file of the source."""

    file: str
    """As the user would say it."""
    what: str
    """Short, the same for all such files: they are counted by it."""
    detail: str = ""


@dataclass(frozen=True)
class ConversionJob:
    """One sample to make."""

    key: str
    files: Mapping[str, str]
    """Paths by role (`rgba`, `fg`, `alpha`, …)."""
    label: str
    """The file by which a report names the sample."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What is known of it besides, for its JSON."""


@dataclass(frozen=True)
class Listing:
    """A source, listed: the same files always give the same listing."""

    jobs: tuple[ConversionJob, ...]
    refused: tuple[Finding, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    """Files that are not pictures, by suffix."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over keys, roles and the files' names and sizes."""
        digest = hashlib.sha256()
        for job in self.jobs:
            for role, path in sorted(job.files.items()):
                entry = (job.key, role, Path(path).name, str(_size(path)))
                digest.update("\0".join(entry).encode("utf-8", "surrogateescape") + b"\n")
        return digest.hexdigest()


def _size(path: str) -> int | None:
    try:
        return os.path.getsize(path)
    except OSError:  # a link to nothing: the conversion refuses it by name
        return None


def single_jobs(pictures: Pictures, role: str) -> Iterator[ConversionJob]:
    """A job for every picture."""
    for name, paths in pictures.files.items():
        yield from (ConversionJob(name, {role: str(path)}, pictures.label(path)) for path in paths)


def partner_jobs(folders: Mapping[str, Pictures], *, optional: Sequence[str] = ()) -> Iterator[ConversionJob | Finding]:
    """A job for every name that is in each folder, and a finding for every other.

    Args:
        folders: By role; the first role's file names the sample in reports.
        optional: Roles that a sample may lack.
    """
    first, *others = folders
    for name in sorted({name for pictures in folders.values() for name in pictures.files}):
        found = {role: pictures.files[name] for role, pictures in folders.items() if name in pictures.files}
        present = next(iter(found))
        label = folders[present].label(found[present][0])
        missing = [role for role in (first, *others) if role not in found and role not in optional]
        several = next((paths for paths in found.values() if len(paths) > 1), None)
        if missing:
            yield Finding(label, "partner missing", f"no {name} in {folders[missing[0]].folder}")
        elif several:
            yield Finding(label, "several files of one name", ", ".join(path.name for path in several))
        else:
            yield ConversionJob(name, {role: str(paths[0]) for role, paths in found.items()}, label)


def listing(entries: Sequence[ConversionJob | Finding], ignored: Mapping[str, int]) -> Listing:
    """Put a source's jobs together under keys that shards can hold, no two alike."""
    jobs, taken = [], set[str]()
    for entry in entries:
        if isinstance(entry, ConversionJob):
            key = base = _key(entry.key)
            repeat = 1
            while key in taken:
                repeat += 1
                key = f"{base}-{repeat}"
            taken.add(key)
            jobs.append(replace(entry, key=key))
    refused = tuple(entry for entry in entries if isinstance(entry, Finding))
    return Listing(tuple(jobs), refused, dict(sorted(ignored.items())))


def _key(name: str) -> str:
    """A shard's key: no dot, which would begin the member's extension, no slash, nothing invisible."""
    parts = printable(name).replace("/", "-")
    kept = "".join("_" if character in ".\\" or character.isspace() else character for character in parts)
    return kept.lstrip("_-") or "picture"


def subfolder(folder: Path, *names: str) -> Path | None:
    """The folder's subfolder of the first of these names that is there, whatever their case."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder" if folder.exists() else f"no folder at {folder}")
    below = {path.name.lower(): path for path in sorted(folder.iterdir(), reverse=True) if path.is_dir()}
    return next((below[name.lower()] for name in names if name.lower() in below), None)


def required_subfolder(folder: Path, *names: str) -> Path:
    """As `subfolder`, of names by which a layout knows it.

    Raises:
        InputError: there is none of these names.
    """
    found = subfolder(folder, *names)
    if found is None:
        raise InputError(f"{folder} has no folder {' or '.join(names)}/: see `drip prepare --help` for the layout")
    return found
