"""The user's own pictures as backgrounds for procedural objects."""

import hashlib
import logging
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from drip_lightning.data.frames import require_single
from drip_lightning.data.picture_files import FORMATS, find_pictures, read_file
from drip_lightning.data.pictures import open_picture
from drip_lightning.data.pixels import colour_pixels
from drip_lightning.data.synth.textures import Bytes
from drip_lightning.errors import InputError

_LOG = logging.getLogger(__name__)

_HELD_OUT = 10
"""One picture in so many is kept for evaluation."""


@lru_cache
def list_photographs(folder: str) -> tuple[Path, ...]:
    """The pictures below a folder, by name.

    Raises:
        InputError: no such folder, or too few pictures to keep any for evaluation.
    """
    if not Path(folder).is_dir():
        raise InputError(f"backgrounds: no folder {folder}")
    found = [file for files in find_pictures(Path(folder)).files.values() for file in files if file.is_file()]
    if len(found) < 2:
        raise InputError(f"backgrounds: expected at least 2 pictures in {folder}")
    return tuple(sorted(found))


def photographs_digest(folder: str) -> str:
    """A hash of the pictures' names and sizes, which tells one collection from another."""
    lines = [f"{file.relative_to(folder).as_posix()} {file.stat().st_size}" for file in list_photographs(folder)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def draw_photograph(folder: str, size: int, generator: np.random.Generator, *, held_out: bool) -> Bytes:
    """Cut a square out of one of the pictures: between half of what fits and all of it, scaled to `size`.

    In place of a picture that cannot be read, the next is taken, and it is said once.

    Args:
        folder: Of pictures.
        size: Side of the result.
        generator: Source of every choice.
        held_out: Whether to choose among the pictures kept for evaluation, or among the others.

    Returns:
        (size, size, 3).

    Raises:
        InputError: as `list_photographs`; or none of the pictures can be read.
    """
    files = list_photographs(folder)
    kept = files[::_HELD_OUT]
    choice = kept if held_out else [file for file in files if file not in set(kept)]
    chosen = int(generator.integers(len(choice)))
    picture = _first_readable([*choice[chosen:], *choice[:chosen]])
    side = generator.uniform(0.5, 1.0) * min(picture.size)
    left, top = ((length - side) * generator.random() for length in picture.size)
    box = (left, top, left + side, top + side)
    return np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0))


def _first_readable(files: Sequence[Path]) -> Image.Image:
    for file in files:
        try:
            content, name = read_file(file), str(file)
            require_single(content, name=name)
            return Image.fromarray(colour_pixels(open_picture(content, name=name, formats=FORMATS)))
        except InputError as error:
            _say_once(f"{error}: passed over")
            reason = error
    raise reason


@cache
def _say_once(line: str) -> None:
    _LOG.warning(line)
