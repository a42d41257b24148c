"""What `drip matte` is to do: pictures, the trimap or mask of each, and the names of the results."""

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from drip_lightning.data.guides import Guides, MeantPicture
from drip_lightning.data.picture_files import SUFFIXES, find_pictures
from drip_lightning.data.sequences import natural, sequence_of
from drip_lightning.errors import InputError


@dataclass(frozen=True)
class MatteJob:
    """One picture to matte."""

    picture: Path
    guide: Path
    """Its trimap or mask."""
    result: Path


@dataclass(frozen=True)
class MatteProblem:
    """A picture that was meant and will have no result."""

    picture: Path
    reason: str
    """A line."""


@dataclass
class MatteJobs:
    """What can be done of what was asked for, and why the rest cannot."""

    jobs: list[MatteJob] = field(default_factory=list)
    problems: list[MatteProblem] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    """Files in the folders that are not pictures, by suffix."""


def find_jobs(
    pictures: Sequence[Path],
    guide: Path | None,
    out: Path,
    *,
    guide_ending: str,
    recursive: bool = True,
    suffix: Callable[[Path], str] = lambda picture: ".png",
    result: Path | None = None,
    made: Callable[[Path], Path] | None = None,
) -> MatteJobs:
    """Pair every picture with its trimap or mask, and with the name of its result.

    A folder's pictures keep their sub-folders below `out`. Two pictures of one name keep their suffixes in the results'
    names: `a.jpg.png` beside `a.png.png`.

    Args:
        pictures: Files, folders of them, and patterns of frames as `sequence_of` understands them.
        guide: The trimap or mask of a single picture, or where those of all are: see `Guides`.
        out: The folder of the results; pictures in it are none to matte.
        guide_ending: What may be added to a picture's name in its guide's: `_trimap`, `_mask`.
        recursive: Whether folders in the folders are looked at.
        suffix: What a picture's result's name ends with.
        result: The result's file, if there is to be one alone.
        made: Where the guide will lie that is made for a result; none if guides are there.

    Raises:
        InputError: there is no such guide, it is a file for several pictures, as is the result, a folder cannot be
            listed, or results would lie among what was given.
    """
    for folder in (*pictures, *([guide] if guide else [])):
        if folder.is_dir() and result is None and os.path.realpath(folder) == os.path.realpath(out):
            raise InputError(
                f"results in {folder} itself would be taken for pictures the next time: choose another --out, such as "
                f"{folder / 'cutouts'}"
            )
    guides = Guides(guide, ending=guide_ending, recursive=recursive)
    found = MatteJobs()
    meant = guides.without_own(
        picture for path in pictures for picture in _pictures_in(path, out, found, recursive=recursive)
    )
    if len(meant) > 1 and guides.single is not None:
        raise InputError(f"{len(meant)} pictures but one trimap or mask {guide}: give a folder of equally named ones")
    if len(meant) > 1 and result is not None:
        raise InputError(f"{len(meant)} pictures but one result {result}: name a folder as --out")
    taken: dict[Path, Path] = {}
    twins = Counter(picture.name.casefold() for picture in meant)
    for picture in meant:
        try:
            name = picture.full_name if twins[picture.name.casefold()] > 1 else picture.name
            target = result or out / f"{name}{suffix(picture.path)}"
            own = guides.of(picture) if made is None else made(target)
            if os.path.realpath(target) in map(os.path.realpath, (picture.path, own)):
                raise InputError(f"{target} would replace what was given: choose another --out")
            if target in taken:
                raise InputError(f"{taken[target]} and {picture.path} would both become {target}")
        except InputError as error:
            found.problems.append(MatteProblem(picture.path, str(error)))
        else:
            taken[target] = picture.path
            found.jobs.append(MatteJob(picture.path, own, target))
    return found


def _pictures_in(path: Path, out: Path, found: MatteJobs, *, recursive: bool) -> Iterator[MeantPicture]:
    if path.is_file():
        yield MeantPicture(path, unicodedata.normalize("NFC", path.stem))
        return
    frames = sequence_of(path)
    if frames is not None:
        yield from (
            MeantPicture(file, unicodedata.normalize("NFC", file.stem), number) for number, file in frames.items()
        )
    if not path.is_dir():
        found.problems += [] if frames else [MatteProblem(path, f"no picture or folder at {path}")]
        return
    below = find_pictures(path, recursive=recursive, without=out)
    found.ignored += below.ignored - Counter(file.suffix.lower() for file in below.not_read)
    found.problems += [
        MatteProblem(file, f"{file} is of a kind that is not read: save it as PNG or TIFF") for file in below.not_read
    ]
    if not below.files and not below.not_read:
        found.problems.append(MatteProblem(path, f"no pictures ({', '.join(SUFFIXES)}) in {path}"))
    for name, files in sorted(below.files.items(), key=lambda item: natural(item[0])):
        yield from (MeantPicture(file, name) for file in files)
