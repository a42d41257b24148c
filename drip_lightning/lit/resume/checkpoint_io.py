"""Checkpoint files: written whole or not at all, known to be damaged by their own checksum, read without executing."""

import hashlib
import os
import pickle
import re
import struct
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_warn

from drip_lightning.errors import InputError, RunError, raised_as, reason_of
from drip_lightning.files import whole_file

PARTIAL = ".partial"
"""End of the name of a file that is being written."""
BEST = "best"
"""Folder of the best checkpoints, in that of all."""
_BLOCK = 1 << 20
_MARK = b"sha256:"
_DIGEST_CHARS = 64
_COMMENT = struct.pack("<H", len(_MARK) + _DIGEST_CHARS)
"""Length of the comment: the last field of a ZIP archive, before the comment itself."""


class CheckpointFiles(TorchCheckpointIO):
    """Lightning's plugin for checkpoint files; a run folder stands for its newest sound checkpoint."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """As `write_checkpoint`."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint to the CPU, whatever `map_location`; never anything but `weights_only`.

        Raises:
            InputError: as `newest_checkpoint` and `read_checkpoint`.
        """
        return read_checkpoint(newest_checkpoint(Path(path)))


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint whole or not at all.

    It is written beside its place, forced to the disk, read again and compared, and only then renamed: whenever the
    process or the machine dies, `path` is what it was or what it is to be. The file is torch's own ZIP archive, whose
    comment is the SHA-256 of all before it.

    Raises:
        RunError: the disk is full, or gives back something else than was written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        raised_as(
            RunError,
            OSError,
            message=lambda reason: (
                f"cannot write checkpoint {path}: {reason}; free some space and resume with --ckpt_path auto"
            ),
        ),
        whole_file(path, partial=path.with_name(path.name + PARTIAL)) as partial,
        partial.open("w+b") as file,
    ):
        _write_with_checksum(checkpoint, file)
        file.flush()
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):  # so that the disk is asked, not the memory that caches it
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if complaint := _complaint(file):
            raise RunError(f"the disk does not keep what is written to {partial}: {complaint}")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of `drip`, on the CPU; nothing in it is executed.

    Its tensors are mapped from the file: what nobody looks at, such as an optimizer's state, takes no memory, and
    processes of a machine share the rest. What is changed in place is copied first.

    Raises:
        InputError: no such file, a damaged file, or a checkpoint of another program.
    """
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}: give a run folder, a checkpoint or an export")
    state = path.stat()
    if complaint := _complaint_about(path, state.st_ino, state.st_size, state.st_mtime_ns):
        raise InputError(f"cannot read checkpoint {path}: damaged, or not a checkpoint ({complaint})")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, KeyError, ValueError) as error:
        reason = reason_of(error).split(". ")[0] if isinstance(error, RuntimeError) else type(error).__name__
        raise InputError(f"cannot read checkpoint {path}: damaged, or not a checkpoint ({reason})") from error
    if not isinstance(checkpoint, dict) or "drip" not in checkpoint:
        raise InputError(f"{path} was not written by drip")
    return checkpoint


def newest_checkpoint(path: Path) -> Path:
    """The newest sound checkpoint of a run folder; a path that is not a folder is returned as it is.

    Raises:
        InputError: as `read_newest`.
    """
    return read_newest(path)[0] if path.is_dir() else path


def read_newest(path: Path) -> tuple[Path, dict[str, Any]]:
    """The newest sound checkpoint of a run folder, or the file itself, and what it holds (`read_checkpoint`).

    What is damaged or not `drip`'s is named in a warning and passed over.

    Raises:
        InputError: the folder has no checkpoint, or none that is sound; or as `read_checkpoint`.
    """
    if not path.is_dir():
        return path, read_checkpoint(path)
    files = checkpoints_in(path)
    if not files:
        raise InputError(
            f"no checkpoint in {path}: train there first with `drip fit --trainer.default_root_dir {path}`"
        )
    for file in files:
        try:
            return file, read_checkpoint(file)
        except InputError as error:
            rank_zero_warn(f"{error}; looking for the one before it")
    raise InputError(f"none of the {len(files)} checkpoints in {path} can be used; remove them to train afresh")


def checkpoint_to_use(path: Path) -> Path:
    """What stands for a run that is used, not resumed: the best checkpoint if it keeps one, else the newest.

    Raises:
        InputError: as `read_newest`.
    """
    return newest_checkpoint(best_folder(path) or path)


def read_to_use(path: Path) -> tuple[Path, dict[str, Any]]:
    """`checkpoint_to_use`, and what it holds.

    Raises:
        InputError: as `read_newest`.
    """
    return read_newest(best_folder(path) or path)


def best_folder(path: Path) -> Path | None:
    """Where a run folder, or its `checkpoints`, keeps the best checkpoint; nothing if it keeps none."""
    return next((folder for folder in (path / BEST, path / "checkpoints" / BEST) if checkpoints_in(folder)), None)


def checkpoint_to_resume_from(given: str | None, folder: Path) -> Path | None:
    """What training starts with: one folder holds one run, so that its newest checkpoint is its state.

    Args:
        given: `auto`, the newest sound checkpoint of `folder`, or nothing if it has none; a file, or another run's
            folder; nothing for a fresh start.
        folder: Where the run keeps its checkpoints.

    Raises:
        InputError: `folder` has checkpoints, and training would not resume from the newest; or all are damaged; or
            there is none but the best.
    """
    own = checkpoints_in(folder)
    if not own and (best := checkpoints_in(folder / BEST)):
        raise InputError(f"{best[0]} is of a run whose other checkpoints are gone: move it, or take another folder")
    if given == "auto":
        return newest_checkpoint(folder) if own else None
    chosen = None if given is None else newest_checkpoint(Path(given))
    if own and (chosen is None or chosen.resolve() != own[0].resolve()):
        raise InputError(
            f"{folder} holds a run up to {own[0].name}: resume it with --ckpt_path auto, or give this one another "
            "folder, --trainer.default_root_dir DIR"
        )
    return chosen


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoint files of a run folder, or of its `checkpoints`, by step, the newest first."""
    found = [file for pattern in ("*.ckpt", "checkpoints/*.ckpt") for file in folder.glob(pattern) if file.is_file()]
    return sorted(found, key=lambda file: (step_of(file), file.stat().st_mtime), reverse=True)


def checkpoint_name(step: int) -> str:
    """The file's name: `step=0001000.ckpt`."""
    return f"step={step:07d}.ckpt"


def step_of(file: Path) -> int:
    """The number of steps in a checkpoint's name; -1 where it tells none."""
    match = re.fullmatch(r"step=(\d+)", file.stem)
    return int(match[1]) if match else -1


def remove_partial_files(folder: Path) -> None:
    """Remove what a killed run was just writing."""
    for file in folder.rglob(f"*.ckpt{PARTIAL}"):
        file.unlink()


class _HashingWriter:
    """What `torch.save` writes to: passes on all but the last two bytes, the archive's empty comment, and hashes it.

    An exception must not pass through the C++ code that calls `write`: the first one is kept in `error`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.error: OSError | None = None
        self.sha256 = hashlib.sha256()
        self._file = file
        self._held_back = b""

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if len(view) < len(_COMMENT):
            view = memoryview(self._held_back + view)
            self._held_back = b""
        else:
            self._pass_on(self._held_back)
        self._held_back = bytes(view[-len(_COMMENT) :])
        self._pass_on(view[: -len(_COMMENT)])
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Do nothing: all but the last two bytes is passed on at once."""

    def _pass_on(self, data: bytes | memoryview) -> None:
        if self.error is None:
            try:
                self._file.write(data)
                self.sha256.update(data)
            except OSError as error:
                self.error = error


def _write_with_checksum(checkpoint: dict[str, Any], file: BinaryIO) -> None:
    writer = _HashingWriter(file)
    torch.save(checkpoint, writer)  # type: ignore[arg-type]
    if writer.error is not None:
        raise writer.error
    file.write(_COMMENT + _MARK + writer.sha256.hexdigest().encode())


@cache
def _complaint_about(path: Path, inode: int, size: int, changed_ns: int) -> str | None:
    """As `_complaint`, once a process for each file as it is now: it reads all of it."""
    with path.open("rb") as file:
        return _complaint(file)


def _complaint(file: BinaryIO) -> str | None:
    """What is wrong with an open checkpoint; nothing if its checksum is right, or if it never had a comment."""
    trailer_length = len(_COMMENT) + len(_MARK) + _DIGEST_CHARS
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - trailer_length))
    trailer = file.read()
    if trailer[-22:-18] == b"PK\5\6" and trailer.endswith(b"\0\0"):
        return None  # by torch.save alone: an earlier version's, or somebody's own
    if len(trailer) < trailer_length or not trailer.startswith(_COMMENT + _MARK):
        return "cut off"
    sha256, left = hashlib.sha256(), size - trailer_length
    file.seek(0)
    while left:
        block = file.read(min(_BLOCK, left))
        sha256.update(block)
        left -= len(block)
    return None if trailer.endswith(sha256.hexdigest().encode()) else "its checksum differs"
