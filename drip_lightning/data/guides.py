"""Which trimap or mask belongs to a picture."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drip_lightning.data.picture_files import SUFFIXES, find_pictures
from drip_lightning.data.sequences import sequence_of
from drip_lightning.errors import InputError


@dataclass(frozen=True)
class MeantPicture:
    """A picture to matte, and its name below the folder that was given, without suffix."""

    path: Path
    name: str
    frame: int | None = None
    """Its number, if it is a frame of a sequence that a pattern stands for."""

    @property
    def full_name(self) -> str:
        """The name with its suffix."""
        return self.name + self.path.suffix


class Guides:
    """Trimaps or masks, to be found by their pictures: one file, a sequence, a folder, or those beside the pictures."""

    def __init__(self, path: Path | None, *, ending: str, recursive: bool = True) -> None:
        """Look what there is.

        Args:
            path: A file, a pattern as `sequence_of` understands it, or a folder, where that of `sub/a.jpg` is
                `sub/a.jpg.png`, `sub/a.png` or `sub/a_trimap.png`, of whatever suffix; None looks for `a_trimap.png`
                beside each picture.
            ending: What may be added to a picture's name: `_trimap`, `_mask`.
            recursive: Whether folders in the folder are looked at.

        Raises:
            InputError: there is nothing, or the folder cannot be listed.
        """
        self._path, self._ending = path, ending
        self._frames = None if path is None else sequence_of(path)
        if path is not None and self._frames is None and not path.exists():
            raise InputError(f"no trimap or mask at {path}")
        self._below = find_pictures(path, recursive=recursive) if path is not None and path.is_dir() else None

    @property
    def single(self) -> Path | None:
        """The file, if there is only one for whatever picture."""
        return self._path if self._frames is None and self._below is None else None

    def without_own(self, pictures: Iterable[MeantPicture]) -> list[MeantPicture]:
        """The pictures that are none of these guides themselves, which may lie among them."""
        listed = list(pictures)
        if self.single is not None or self._frames is not None:
            return listed
        names = {picture.name + self._ending for picture in listed}
        return [picture for picture in listed if picture.name not in names]

    def of(self, picture: MeantPicture) -> Path:
        """The guide of a picture.

        Raises:
            InputError: there is none, or there are two.
        """
        if self.single is not None:
            return self.single
        if self._frames is not None:
            return self._frame(picture, self._frames)
        for files in self._candidates(picture):
            others = [file for file in files if os.path.realpath(file) != os.path.realpath(picture.path)]
            if len(others) > 1:
                raise InputError(
                    f"{others[0]} and {others[1]} are both named {others[0].stem}: keep one for {picture.path}"
                )
            if others:
                return others[0]
        if self._path is None:
            raise InputError(f"no {picture.path.stem}{self._ending}.png beside {picture.path}: give --trimap or --mask")
        raise InputError(f"no trimap or mask named {picture.name} in {self._path} for {picture.path}")

    def _frame(self, picture: MeantPicture, frames: Mapping[int, Path]) -> Path:
        if picture.frame is None:
            raise InputError(f"{self._path} stands for frames: give {picture.path} by a pattern, too")
        if picture.frame not in frames:
            raise InputError(f"no frame {picture.frame} of {self._path} for {picture.path}")
        return frames[picture.frame]

    def _candidates(self, picture: MeantPicture) -> Iterator[Sequence[Path]]:
        if self._below is None:
            beside = [picture.path.with_name(f"{picture.path.stem}{self._ending}{suffix}") for suffix in SUFFIXES]
            yield [file for file in beside if file.is_file()]
            return
        for name in (picture.full_name, picture.name, picture.name + self._ending):
            yield self._below.files.get(name, ())
