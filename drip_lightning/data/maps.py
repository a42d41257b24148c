"""What a mask, trimap or matte from any tool says: the one place that decides it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drip_lightning.data.pictures import grey_pixels, without_alpha
from drip_lightning.errors import InputError


def map_pixels(picture: Image.Image, *, name: str) -> NDArray[np.uint8]:
    """What a mask, trimap or matte from any tool says, (H, W), 0 to 255.

    Where alpha varies, alpha is meant. Otherwise the values are: 0 to 255, 0/1, 0/1/2, 16 bits, or 8 of them in 16.

    Raises:
        InputError: it is coloured, or its values are other ones.
    """
    is_wide = picture.mode.startswith("I")
    if picture.has_transparency_data and not is_wide:
        alpha = np.array(picture.convert("RGBA"))[..., 3]
        if alpha.min() < alpha.max():
            return alpha
    if is_wide:
        values = np.asarray(picture)
        pixels = values.astype(np.uint8) if values.min() >= 0 and values.max() <= 255 else grey_pixels(picture)
    else:
        _refuse_colours(without_alpha(picture), name)
        pixels = grey_pixels(picture)
    top, found = int(pixels.max()), np.unique(pixels).tolist()
    for label in (1, 17, 85):  # as 8, 4 and 2 bits a pixel have it: PNG's 0 to 3 are 0, 85, 170, 255
        if top in (label, 2 * label) and set(found) <= {0, label, top}:
            levels = np.zeros(256, np.uint8)
            levels[label] = 128
            levels[top] = 255
            return levels[pixels]
    if 0 < top < 64 and len(found) <= 8:  # labels; a faint matte has more
        listed = ", ".join(map(str, found))
        raise InputError(f"{name} has the values {listed}: expected 0, 128, 255 (or 0, 1, 2; a mask: 0, 255 or 0, 1)")
    return pixels


def _refuse_colours(picture: Image.Image, name: str) -> None:
    spread = np.ptp(np.asarray(picture), axis=2)
    if (spread > 32).mean() <= 0.001:  # what JPEG does to grey stays below
        return
    few = np.asarray(picture.quantize(6).convert("RGB")).reshape(-1, 3)  # those that it has, if it has no more
    colours, counts = np.unique(few, axis=0, return_counts=True)
    found = ", ".join(f"#{colours[place].tobytes().hex()}" for place in (-counts).argsort(kind="stable"))
    raise InputError(f"{name} is coloured ({found}): give black for background, white for foreground, grey for unknown")
