"""The picture files below a folder, by the way and name there: hidden ones left out, links followed once."""

import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drip_lightning.errors import InputError

_SUFFIXES_OF = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
}

FORMATS = tuple(_SUFFIXES_OF)
"""Pillow's names of the formats that are read."""

SUFFIXES = (*(suffix for suffixes in _SUFFIXES_OF.values() for suffix in suffixes), ".exr")
"""What the names of such pictures end with, in lower case."""

_OTHER_PICTURES = re.compile(
    r"\.(jxl|jp2|j2k|jpx|psd|psb|xcf|kra|hdr|tga|dds|qoi|svg|ai|eps|ico|pcx|p[bgnp]m"
    r"|dng|cr[23]|nef|arw|raf|orf|rw2|pef|srw)",
    re.IGNORECASE,
)
"""What the names of other pictures end with: they are told of, for they may have been meant."""


@dataclass(frozen=True)
class Pictures:
    """The pictures below a folder by their name there without suffix; those with one name in the order of suffixes."""

    folder: Path
    files: Mapping[str, Sequence[Path]]
    ignored: Counter[str]
    """Other files, by suffix."""
    not_read: Sequence[Path] = ()
    """Those among them that are pictures, of formats that are not read."""

    def label(self, path: Path) -> str:
        """A picture as the user would say it: the folder as it was given, and the way from there."""
        return printable(str(path))


def find_pictures(folder: Path, *, recursive: bool = True, without: Path | None = None) -> Pictures:
    """List the pictures in a folder and the folders below it; hidden files and folders are not looked at.

    Args:
        folder: Where to look.
        recursive: Whether to look into the folders below it.
        without: A folder below it that is not looked into.

    Raises:
        InputError: there is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder" if folder.exists() else f"no folder at {folder}")
    files: dict[str, list[Path]] = {}
    ignored: Counter[str] = Counter()
    not_read = []
    for path in _walk(folder, recursive=recursive, without=without):
        if path.suffix.lower() in SUFFIXES:
            name = unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())
            files.setdefault(name, []).append(path)
        else:
            ignored[path.suffix.lower() or "no suffix"] += 1
            not_read += [path] if _OTHER_PICTURES.fullmatch(path.suffix) else []
    return Pictures(folder, dict(sorted(files.items())), ignored, not_read)


def _walk(folder: Path, *, recursive: bool, without: Path | None) -> Iterator[Path]:
    seen = set() if without is None else {os.path.realpath(without)} - {os.path.realpath(folder)}

    def fail(error: OSError) -> None:
        raise InputError(f"{error.filename} cannot be listed ({error.strerror})") from error

    for place, folders, names in os.walk(folder, followlinks=True, onerror=fail):
        real = os.path.realpath(place)  # links may lead in circles
        visible = [name for name in folders if recursive and real not in seen and not _is_hidden(name)]
        folders[:] = sorted(visible)
        if real not in seen:
            seen.add(real)
            yield from (Path(place, name) for name in sorted(names) if not _is_hidden(name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def read_file(path: Path) -> bytes:
    """The content of a file.

    Raises:
        InputError: it cannot be read, or it is a folder, a pipe or a link to nothing.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path} is no file")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error


def printable(name: str) -> str:
    """A file's name as text that can be shown and stored, whatever bytes it has."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "�" for character in text)
