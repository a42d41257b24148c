"""What `drip export` wrote into a folder, by its own list: no tensor is needed to read it."""

import hashlib
import json
from pathlib import Path
from typing import Any

from drip_lightning.errors import InputError

INDEX = "model_index.json"
"""diffusers' list of parts; under `drip` it holds what the stages are, and every file's SHA-256."""
CARD = "README.md"
WEIGHTS = "diffusion_pytorch_model.safetensors"
"""diffusers' name for a part's weights."""
EARLIER_PROMPT_EMBEDDING = "prompt_embedding.safetensors"
"""Where earlier versions wrote it, with each U-Net in a folder of its own."""


def read_index(folder: Path) -> dict[str, Any]:
    """Read `model_index.json` of a folder that `drip export` wrote.

    Raises:
        InputError: there is none, or another program wrote it.
    """
    try:
        index = json.loads((folder / INDEX).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {folder / INDEX} ({type(error).__name__}): export it again") from error
    written = index.get("drip") if isinstance(index, dict) else None
    if not isinstance(written, dict) or not isinstance(written.get("files"), dict):
        raise InputError(f"{folder} was not written by `drip export`: give a run folder, a checkpoint or an export")
    return index


def check_files(folder: Path) -> None:
    """Check that a folder is what `drip export` wrote, every file of it.

    Raises:
        InputError: it is not; the message says what is wrong with which file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    index = read_index(folder)
    if (folder / EARLIER_PROMPT_EMBEDDING).exists():
        raise InputError(f"{folder} was written by an earlier version: load its checkpoint and export it again")
    for name in index["drip"]["files"]:
        checked_file(folder, name)


def seal(folder: Path, index: dict[str, Any]) -> None:
    """Write a folder's `model_index.json`, with a SHA-256 of every other file.

    Args:
        folder: With everything that belongs into it.
        index: As diffusers wants it.
    """
    names = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    files = {name: file_digest(folder / name) for name in names if name not in (INDEX, CARD)}
    sealed = index | {"drip": {**(index.get("drip") or {"stages": []}), "files": files}}
    (folder / INDEX).write_text(json.dumps(sealed, indent=2) + "\n")


def file_digest(file: Path) -> str:
    """SHA-256 in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_config(folder: Path, part: str) -> dict[str, Any]:
    """A part's configuration without diffusers' private entries, which would undo changes.

    Raises:
        InputError: it is missing, or not what was written.
    """
    name = "scheduler_config.json" if part == "scheduler" else "config.json"
    config = json.loads(checked_file(folder, f"{part}/{name}").read_text())
    return {name: value for name, value in config.items() if not name.startswith("_")}


def checked_file(folder: Path, name: str) -> Path:
    """One of the folder's files, of which every byte was written by `drip export`.

    Raises:
        InputError: it is missing, or not what was written.
    """
    file = folder / name
    expected = read_index(folder)["drip"]["files"].get(name)
    try:
        found = file_digest(file)
    except OSError as error:
        raise InputError(f"cannot read {file} ({error.strerror}): copy or export the folder again") from error
    if found != expected:
        raise InputError(f"{file} is damaged (its checksum differs): copy or export the folder again")
    return file


def is_exported(path: Path) -> bool:
    """Whether a path is a folder in diffusers' format, and so no run folder."""
    return (path / INDEX).is_file()
