"""What a mask, trimap or matte from any tool says: the one place that decides it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drip_lightning.data.pixels import grey_pixels, without_alpha
from drip_lightning.errors import InputError

_MOST_LABELS = 8
"""A faint matte has more values than these."""


def map_pixels(picture: Image.Image, *, name: str) -> NDArray[np.uint8]:
    """What a mask, trimap or matte from any tool says, (H, W), 0 to 255.

    Where alpha varies, alpha is meant. Otherwise the values are: 0 to 255, 0/1, 0/1/2, 16 bits, or 8 of them in 16.

    Raises:
        InputError: it is coloured, or its values are other ones.
    """
    if picture.mode.startswith("I"):
        values = np.asarray(picture)
        if values.min() < 0 or (values.max() > 255 and (values % 257).any()):  # all sixteen bits are used
            _refuse_labels(np.unique(values), 64 * 257, name)
            return grey_pixels(picture)
        return _without_labels(values.astype(np.uint8) if values.max() <= 255 else grey_pixels(picture), name)
    if picture.has_transparency_data:
        alpha = np.array(picture.convert("RGBA"))[..., 3]
        if alpha.min() < alpha.max():
            return alpha
    _refuse_colours(without_alpha(picture), name)
    return _without_labels(grey_pixels(picture), name)


def require_trimap(pixels: NDArray[np.uint8], *, name: str) -> None:
    """Refuse what `map_pixels` gave and is no trimap: a few labels among which one of the sure values is missing.

    Any grey counts as unknown, but of two that differ one was meant for something sure.

    Raises:
        InputError: it is such.
    """
    levels = np.unique(pixels)
    greys = levels[(levels > 0) & (levels < 255)]
    if len(levels) <= _MOST_LABELS and greys.size and np.ptp(greys) > 32 and not {0, 255} <= set(levels.tolist()):
        raise _unexpected(levels, name)


def _without_labels(pixels: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """The levels that labels stand for, or the pixels themselves."""
    found = np.unique(pixels)
    top = int(found[-1])
    for label in (1, 17, 85):  # as 8, 4 and 2 bits a pixel have it: PNG's 0 to 3 are 0, 85, 170, 255
        if top in (label, 2 * label) and set(found.tolist()) <= {0, label, top}:
            levels = np.zeros(256, np.uint8)
            levels[label] = 128
            levels[top] = 255
            return levels[pixels]
    _refuse_labels(found, 64, name)
    return pixels


def _refuse_labels(levels: NDArray[np.integer], limit: int, name: str) -> None:
    if 0 < levels[-1] < limit and len(levels) <= _MOST_LABELS:
        raise _unexpected(levels, name)


def _unexpected(levels: NDArray[np.integer], name: str) -> InputError:
    listed = ", ".join(map(str, levels.tolist()))
    return InputError(f"{name} has the values {listed}: expected 0, 128, 255 (or 0, 1, 2; a mask: 0, 255 or 0, 1)")


def _refuse_colours(picture: Image.Image, name: str) -> None:
    spread = np.ptp(np.asarray(picture), axis=2)
    if (spread > 32).mean() <= 0.001:  # what JPEG does to grey stays below
        return
    few = np.asarray(picture.quantize(6).convert("RGB")).reshape(-1, 3)  # those that it has, if it has no more
    colours, counts = np.unique(few, axis=0, return_counts=True)
    found = ", ".join(f"#{colours[place].tobytes().hex()}" for place in (-counts).argsort(kind="stable"))
    raise InputError(f"{name} is coloured ({found}): give black for background, white for foreground, grey for unknown")
