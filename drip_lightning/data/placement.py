"""Where and how a crop is taken from a picture."""

from typing import NamedTuple


class Placement(NamedTuple):
    """Where a crop is taken from a picture, and how it is rotated."""

    scale: float
    """Crop side divided by output side."""
    place: tuple[float, float]
    """Of a foreground, which unknown pixel is in the middle: (place in their list, unused); of a background, where the
    crop lies between top and bottom, left and right. In [0, 1)."""
    rotation: float
    """In degrees, clockwise."""
    shear: float
    """In degrees, along the rows."""
    stretch: float
    """Width over height of a pixel."""
    flip: bool
