"""Frames of a sequence: files that differ by a number, in the order of that."""

import re
from pathlib import Path

_NUMBER = re.compile(r"%(?:0(\d+))?d")
_DIGITS = re.compile(r"(\d+)")


def natural(name: str) -> list[str | int]:
    """A key to sort names by as people count: `f2` before `f10`."""
    return [int(part) if part.isdecimal() else part for part in _DIGITS.split(name)]


def sequence_of(pattern: Path) -> dict[int, Path] | None:
    """The files that a pattern such as `shot.%04d.png` stands for, by their numbers, in order.

    Args:
        pattern: `%d` in its name stands for a number, `%04d` for one with at least four digits.

    Returns:
        None if it is the path of a file or folder, or no pattern.
    """
    place = _NUMBER.search(pattern.name)
    if place is None or pattern.exists() or not pattern.parent.is_dir():
        return None
    before, after = re.escape(pattern.name[: place.start()]), re.escape(pattern.name[place.end() :])
    name = re.compile(rf"{before}(\d{{{place[1] or 1},}}){after}")
    found = [(name.fullmatch(file.name), file) for file in pattern.parent.iterdir()]
    return dict(sorted((int(match[1]), file) for match, file in found if match))
