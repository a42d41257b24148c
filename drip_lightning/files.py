"""Files and folders that are there whole or not at all, whatever dies when; and locks that die with their holder."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path, *, partial: Path | None = None) -> Iterator[Path]:
    """Write a file in one instant: `path` is what it was or what it is to be, also after a crash of the machine.

    Args:
        path: The file; one that exists is replaced.
        partial: Where it is written meanwhile, on the same file system; by default `.partial-NAME` beside it, whose
            suffix is the same, for libraries that choose a format by it.

    Yields:
        The path to write to; it is removed if writing fails.
    """
    partial = partial or path.with_name(f".partial-{path.name}")
    try:
        yield partial
        put_in_place(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def link_or_copy(source: Path, path: Path) -> None:
    """Give a file a second name, or a copy where there are no links; what `path` was before is gone."""
    path.unlink(missing_ok=True)  # not written to: it may be a second name of something else
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)


def write_text_whole(path: Path, text: str) -> None:
    """Write a text file in UTF-8, as `whole_file`."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Make a folder in one instant, as `whole_file`; one that exists is replaced, and put back if that fails.

    Yields:
        An empty folder to write to; it is removed if writing fails.
    """
    partial, former = (path.with_name(f".{path.name}.{word}") for word in ("partial", "former"))
    if former.exists() and not path.exists():  # killed between the two renames
        os.replace(former, path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        mode = partial.stat().st_mode & 0o666  # the umask's, as of any new file: safetensors writes for its owner alone
        for file in partial.rglob("*"):
            if file.is_file():
                file.chmod(mode)
            _force_to_disk(file)
        if path.exists():
            shutil.rmtree(former, ignore_errors=True)
            os.replace(path, former)
        put_in_place(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if former.exists() and not path.exists():
            os.replace(former, path)
        shutil.rmtree(former, ignore_errors=True)


def put_in_place(partial: Path, path: Path) -> None:
    """Give what was written its name, once it is on the disk."""
    _force_to_disk(partial)
    os.replace(partial, path)
    _force_to_disk(path.parent)  # or the name may be lost


@contextmanager
def lock(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a lock against every other process on this file system; that of a killed process is free.

    Args:
        path: A folder, or a file that is made for the purpose and stays.
        wait: Whether to wait until it is free.

    Yields:
        Whether it is held; always true with `wait`.
    """
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            is_held = False
        else:
            is_held = True
        yield is_held
    finally:
        os.close(descriptor)


def _force_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
