"""Pictures that lie on their side or head in the file, as EXIF says, and trimaps that may lie as they do."""

from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from drip_lightning.errors import InputError

Orientation = Literal["upright", "raw"]
"""How a trimap lies: as its picture is seen, or as its picture lies in the file."""

Number = TypeVar("Number", bound=np.generic)


def apply_orientation(pixels: NDArray[Number], orientation: int) -> NDArray[Number]:
    """Bring pixels (H, W, …) upright that lie as EXIF's orientation 1 to 8 says."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return pixels[::rows, ::columns]


def ways_to_lie(
    guide: NDArray[Number], size: tuple[int, int], *, orientation: int
) -> dict[Orientation, NDArray[Number]]:
    """The ways in which a trimap, mask or matte fits its picture, and what it is then; one if both give the same.

    Args:
        guide: (H, W), rotated as its own EXIF says, if it has any.
        size: Height and width of the picture when upright.
        orientation: How the picture lies in its file, in EXIF's numbers: 1 is upright.
    """
    ways: dict[Orientation, NDArray[Number]] = {"upright": guide, "raw": apply_orientation(guide, orientation)}
    fitting = {way: pixels for way, pixels in ways.items() if pixels.shape == size}
    if len(fitting) == 2 and (fitting["upright"] == fitting["raw"]).all():
        del fitting["raw"]
    return fitting


def fit_guide(
    guide: NDArray[Number],
    size: tuple[int, int],
    *,
    orientation: int,
    lies: Orientation | None,
    picture_name: str,
    guide_name: str,
) -> NDArray[Number]:
    """Rotate a trimap or mask as its picture is rotated, if it lies as its picture does in the file.

    Args:
        guide: (H, W), rotated as its own EXIF says, if it has any.
        size: Height and width of the picture when upright.
        orientation: How the picture lies in its file, in EXIF's numbers: 1 is upright.
        lies: How the guide lies; None tells by the sizes.
        picture_name: What to call the picture in an error.
        guide_name: And the guide.

    Returns:
        The guide as the picture is seen.

    Raises:
        InputError: sizes differ, or both ways fit and give different trimaps.
    """
    fitting = ways_to_lie(guide, size, orientation=orientation)
    if not fitting:
        how = " (rotated as its EXIF says)" if orientation > 1 else ""
        sizes = f"{picture_name} is {size[1]}×{size[0]}{how} but {guide_name} is {guide.shape[1]}×{guide.shape[0]}"
        advice = "one of them is rotated by 90°: rotate it back" if guide.shape == size[::-1] else "make them equal"
        raise InputError(f"{sizes}: {advice}")
    if lies is not None:
        chosen = apply_orientation(guide, orientation) if lies == "raw" else guide
        if chosen.shape != size:
            raise InputError(
                f"{guide_name} does not lie as --trimap-orientation {lies} says, by its size: leave that out"
            )
        return chosen
    if len(fitting) == 2:
        raise InputError(
            f"{picture_name} is rotated by its EXIF, and the size of {guide_name} does not tell whether it is, too: "
            "give --trimap-orientation upright (as the picture is seen) or raw (as it lies in the file)"
        )
    return next(iter(fitting.values()))
