"""What a run was made from: code, libraries, data. One entry a start, in `provenance.json` of the run folder."""

import hashlib
import importlib.metadata
import json
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from drip_lightning import __version__
from drip_lightning.data.evaluation_sets import EvaluationSets, folders_in
from drip_lightning.data.mixture import Folders
from drip_lightning.data.shards.index import read_index
from drip_lightning.errors import InputError
from drip_lightning.files import write_text_whole
from drip_lightning.shipped import MODEL

_PACKAGE = Path(__file__).parents[1]
_FOLDERS = ("foregrounds", "backgrounds", "evaluation")


def note_start(trainer: Trainer, folder: Path, *, config: str, checkpoint: str | None) -> None:
    """Add an entry to the run's `provenance.json`, whole or not at all; the first rank alone does.

    Args:
        trainer: About to begin, its data module set up.
        folder: The run's.
        config: Name of the stored configuration that this start follows.
        checkpoint: What it is resumed from; nothing for a fresh start.
    """
    path = folder / "provenance.json"
    starts = json.loads(path.read_text()) if path.exists() else []
    data = {name: getattr(trainer.datamodule, name, None) for name in _FOLDERS}  # type: ignore[attr-defined]
    starts.append(
        {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "config": config,
            "resumed from": checkpoint,
            "ranks": trainer.world_size,
            "code": {"version": __version__, "hash": code_hash(), "git": git_state()},
            "packages": {"python": platform.python_version(), **_package_versions()},
            "platform": platform.platform(),
            "data": {name: {"folder": place, "index": index_hash(place)} for name, place in data.items()},
        }
    )
    write_text_whole(path, json.dumps(starts, indent=1) + "\n")


def git_state() -> dict[str, Any] | None:
    """Revision of the working tree that this package is part of, and whether it differs; nothing outside of one."""
    if _git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return {"revision": (_git("rev-parse", "HEAD") or "").strip(), "changed": bool(_git("status", "--porcelain", "."))}


def code_hash() -> str:
    """Of every source file of the package: twelve digits that differ where the code does."""
    files = sorted(file for file in _PACKAGE.rglob("*.py") if MODEL not in file.parents)
    return _short_hash(b"".join(str(file.relative_to(_PACKAGE)).encode() + file.read_bytes() for file in files))


def index_hash(folders: Folders | EvaluationSets | None) -> str:
    """Of folders of shards, which their indices give by checksum: the same data has the same twelve digits each."""
    if folders is None:
        return "none"
    try:
        return " ".join(_short_hash(repr(read_index(folder).shards).encode()) for folder in folders_in(folders))
    except InputError as error:
        return str(error)


def _package_versions() -> dict[str, str]:
    """Of what the package requires; nothing when it runs without being installed."""
    try:
        requirements = importlib.metadata.requires("drip_lightning") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in requirements if "extra ==" not in line]
    return {name: importlib.metadata.version(name) for name in sorted(names)}


def _git(*arguments: str) -> str | None:
    """What git says; nothing if it fails or there is none."""
    try:
        done = subprocess.run(["git", "-C", _PACKAGE, *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
