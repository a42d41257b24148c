"""What was painted on the page: strokes of three colours, read as what they say about the picture."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

COLOURS = {"foreground": "#00c853", "unknown": "#2962ff", "background": "#d50000"}
"""What is painted in which colour."""
_VALUES = {"foreground": 1.0, "unknown": 0.5, "background": 0.0}
_OPAQUE = 64
"""From which alpha, of 255, a pixel counts as painted: brushes are translucent."""

Strokes = dict[str, NDArray[np.bool_]]
"""For each name of `COLOURS` where it was painted, (H, W)."""


def read_strokes(layer: NDArray[np.uint8] | None, size: tuple[int, int]) -> Strokes | None:
    """Read a painted layer; a pixel of a mixed colour, as edges have them, counts as the nearest.

    Args:
        layer: (h, w, 4), straight RGBA, of the picture as it was shown; none if nothing could be painted.
        size: The picture's own height and width.

    Returns:
        None if nothing is painted.
    """
    if layer is None or not (layer[..., 3] >= _OPAQUE).any():
        return None
    pixels = np.asarray(Image.fromarray(layer).resize(size[::-1], Image.Resampling.NEAREST))
    painted = pixels[..., 3] >= _OPAQUE
    colours = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in COLOURS.values()])
    nearest = np.square(pixels[..., None, :3].astype(np.int32) - colours).sum(axis=-1).argmin(axis=-1)
    return {name: painted & (nearest == number) for number, name in enumerate(COLOURS)}


def painted_over(strokes: Strokes | None, names: tuple[str, ...] = tuple(COLOURS)) -> Callable[[Tensor], Tensor]:
    """What strokes do to a trimap (1, 1, H, W): where they are, they say what is known.

    Args:
        strokes: None changes nothing.
        names: Those of `COLOURS` that count.
    """

    def amend(trimap: Tensor) -> Tensor:
        amended = trimap.clone()
        for name, painted in (strokes or {}).items():
            if name in names:
                amended[torch.from_numpy(painted)[None, None]] = _VALUES[name]
        return amended

    return amend
