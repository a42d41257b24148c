"""What `drip matte` is to do: pictures, the trimap or mask of each, and the names of the results."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drip_lightning.errors import InputError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class MatteJob:
    """One picture to matte."""

    picture: Path
    guide: Path
    """Its trimap or mask."""
    result: Path


def find_jobs(pictures: Sequence[Path], guide: Path, out: Path) -> list[MatteJob]:
    """Pair every picture with its trimap or mask, and with the name of its result.

    Raises:
        InputError: a picture or guide is missing or there are two, a folder is empty, two results would have one name,
            or a result would replace what was given.
    """
    files = [file for path in pictures for file in _pictures_in(path)]
    if not guide.exists():
        raise InputError(f"no trimap or mask at {guide}")
    if len(files) > 1 and not guide.is_dir():
        raise InputError(f"{len(files)} pictures but one trimap or mask {guide}: give a folder of equally named ones")
    guides: dict[str, Path] = {}
    for file in _pictures_in(guide):
        if file.stem in guides:
            raise InputError(f"{guides[file.stem]} and {file} are both named {file.stem}: keep one")
        guides[file.stem] = file
    jobs: dict[str, MatteJob] = {}
    for file in files:
        own = guides.get(file.stem) if guide.is_dir() else guide
        if own is None:
            raise InputError(f"no trimap or mask named {file.stem} in {guide} for {file}")
        if file.stem in jobs:
            raise InputError(f"{jobs[file.stem].picture} and {file} would both become {out / file.stem}.png")
        result = out / f"{file.stem}.png"
        if result.resolve() in (file.resolve(), own.resolve()):
            raise InputError(f"{result} would replace what was given: choose another --out")
        jobs[file.stem] = MatteJob(picture=file, guide=own, result=result)
    return list(jobs.values())


def _pictures_in(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"no picture or folder at {path}")
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
    if not found:
        raise InputError(f"no pictures ({', '.join(PICTURE_SUFFIXES)}) in {path}")
    return found
