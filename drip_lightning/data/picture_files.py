"""The picture files below a folder, by the way and name there: hidden ones left out, links followed once."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drip_lightning.errors import InputError

SUFFIXES = frozenset({".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
"""What a picture's name ends with, in lower case."""

FORMATS = ("PNG", "WEBP", "JPEG", "TIFF", "BMP")
"""The same as Pillow's names."""


@dataclass(frozen=True)
class Pictures:
    """The pictures below a folder by their name there without suffix; those with one name in the order of suffixes."""

    folder: Path
    files: Mapping[str, Sequence[Path]]
    ignored: Counter[str]

    def label(self, path: Path) -> str:
        """A picture as the user would say it: the folder as it was given, and the way from there."""
        return printable(str(path))


def find_pictures(folder: Path) -> Pictures:
    """List the pictures in a folder and the folders below it; hidden files and folders are not looked at.

    Raises:
        InputError: there is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder" if folder.exists() else f"no folder at {folder}")
    files: dict[str, list[Path]] = {}
    ignored: Counter[str] = Counter()
    for path in _walk(folder):
        if path.suffix.lower() in SUFFIXES:
            name = unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())
            files.setdefault(name, []).append(path)
        else:
            ignored[path.suffix.lower() or "no suffix"] += 1
    return Pictures(folder, dict(sorted(files.items())), ignored)


def _walk(folder: Path) -> Iterator[Path]:
    seen = set()  # links may lead in circles

    def fail(error: OSError) -> None:
        raise InputError(f"{error.filename} cannot be listed ({error.strerror})") from error

    for place, folders, names in os.walk(folder, followlinks=True, onerror=fail):
        real = os.path.realpath(place)
        visible = [] if real in seen else [name for name in folders if not _is_hidden(name)]
        folders[:] = sorted(visible)
        if real not in seen:
            seen.add(real)
            yield from (Path(place, name) for name in sorted(names) if not _is_hidden(name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def printable(name: str) -> str:
    """A file's name as text that can be shown and stored, whatever bytes it has."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "�" for character in text)
