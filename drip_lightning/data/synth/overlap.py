"""Several procedural objects in front of each other, whose joint alpha and straight colour are exact."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from drip_lightning.data.synth.textures import Bytes, Texture

Draw = Callable[[int, np.random.Generator, Texture], tuple[Bytes, Bytes]]


def overlapping(
    size: int, generator: np.random.Generator, texture: Texture, *, kinds: Sequence[Draw]
) -> tuple[Bytes, Bytes]:
    """One object of the whole picture's size with one or two smaller ones, of any kind, in front of it."""
    colour, alpha = _drawn(kinds, size, generator, texture)
    for _ in range(1 + int(generator.random() < 0.4)):
        small = round(size * generator.uniform(0.4, 0.7))
        front_colour, front_alpha = _whole(kinds, small, generator, texture)
        top, left = (_start(np.asarray(front_alpha.any(axis=axis)), size, generator) for axis in (1, 0))
        window = np.s_[top : top + small, left : left + small]
        colour, alpha = colour.copy(), alpha.copy()
        colour[window], alpha[window] = stacked(front_colour, front_alpha, colour[window], alpha[window])
    return colour, alpha


def stacked(front_colour: Bytes, front_alpha: Bytes, colour: Bytes, alpha: Bytes) -> tuple[Bytes, Bytes]:
    """Put one object in front of another: `a = 1 - (1 - a1)(1 - a2)` and the straight colour that goes with it.

    Args:
        front_colour: (H, W, 3), straight.
        front_alpha: (H, W).
        colour: (H, W, 3) of the object behind.
        alpha: (H, W) of the object behind.

    Returns:
        Colour and alpha of the pair; where both are empty, the colour is that behind.
    """
    front = front_alpha.astype(np.float32) / 255
    back = (1 - front) * (alpha.astype(np.float32) / 255)
    total = front + back
    share = np.divide(front, total, out=np.zeros_like(front), where=total > 0)[..., None]
    mixed = share * front_colour + (1 - share) * colour
    return (mixed + 0.5).astype(np.uint8), (total * 255 + 0.5).astype(np.uint8)


def _drawn(kinds: Sequence[Draw], size: int, generator: np.random.Generator, texture: Texture) -> tuple[Bytes, Bytes]:
    return kinds[int(generator.integers(len(kinds)))](size, generator, texture)


def _whole(kinds: Sequence[Draw], size: int, generator: np.random.Generator, texture: Texture) -> tuple[Bytes, Bytes]:
    """An object not cut off at opposite borders, which no place in a larger picture would hide; the fifth at worst."""
    for _ in range(5):
        colour, alpha = _drawn(kinds, size, generator, texture)
        if not (alpha[[0, -1]].any(axis=1).all() or alpha[:, [0, -1]].any(axis=0).all()):
            break
    return colour, alpha


def _start(covered: NDArray[np.bool_], size: int, generator: np.random.Generator) -> int:
    """Where the smaller picture begins: anywhere, but flush with the border that cuts its object off."""
    room = size - len(covered)
    if covered[0] != covered[-1]:
        return 0 if covered[0] else room
    return int(generator.integers(room + 1))
