"""A contact sheet of the procedural families, to look at."""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from drip_lightning.data.synth.families import draw_foreground
from drip_lightning.data.synth.samples import SynthSettings, composite
from drip_lightning.data.synth.textures import Bytes, draw_background
from drip_lightning.errors import InputError, raised_as
from drip_lightning.files import whole_file


def draw_contact_sheet(settings: SynthSettings, *, examples: int = 2, tile: int = 180) -> Bytes:
    """Draw a row for each family: composites on a checkerboard and on a background, alpha, straight colour.

    Args:
        settings: Size and seed of the pictures, and the families.
        examples: Objects in a row; four pictures each.
        tile: Side of a picture on the sheet.

    Returns:
        (families * tile, 4 * examples * tile, 3).
    """
    squares = _squares(settings.size)
    rows = []
    for row, family in enumerate(dict.fromkeys(settings.families)):
        pictures: list[Bytes] = []
        for example in range(examples):
            generator = np.random.default_rng([settings.seed, row, example])
            texture = partial(settings.texture, held_out=False)
            colour, alpha = draw_foreground(family, settings.size, generator, texture)
            background = draw_background(settings.size, generator)
            shown = (composite(colour, alpha, squares), composite(colour, alpha, background), alpha, colour)
            pictures += [_tile(picture, tile) for picture in shown]
        rows.append(np.hstack(pictures))
    return np.vstack(rows)


def save_contact_sheet(path: Path, *, settings: SynthSettings) -> None:
    """Draw a contact sheet into a file, its format told by the name.

    Raises:
        InputError: the name's ending is not that of a picture, or it cannot be written.
    """
    if path.suffix.lower() not in Image.registered_extensions():
        raise InputError(f"contact sheet {path}: expected a name that ends in .jpg or .png")
    if path.is_dir():
        raise InputError(f"contact sheet {path} is a folder: name a file")
    with raised_as(InputError, OSError, message=lambda why: f"contact sheet {path} cannot be written ({why})"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.touch()  # before anything is drawn
            Image.fromarray(draw_contact_sheet(settings)).save(partial, quality=80)


def _squares(size: int) -> Bytes:
    rows, columns = np.indices((size, size)) // max(1, size // 16)
    grey = np.where((rows + columns) % 2 == 0, 120, 200).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _tile(picture: Bytes, side: int) -> Bytes:
    return np.asarray(Image.fromarray(picture).convert("RGB").resize((side, side), Image.Resampling.LANCZOS))
