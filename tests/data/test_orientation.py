import io
import re

import numpy as np
import pytest
from PIL import Image, ImageOps

from drip_lightning.data.orientation import Orientation, apply_orientation, fit_guide
from drip_lightning.data.pictures import orientation_of
from drip_lightning.errors import InputError

PIXELS = np.arange(6, dtype=np.uint8).reshape(2, 3)


def fit(guide: np.ndarray, size: tuple[int, int], orientation: int, lies: Orientation | None = None) -> list[list[int]]:
    found = fit_guide(guide, size, orientation=orientation, lies=lies, picture_name="a.jpg", guide_name="t.png")
    return found.tolist()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotations_and_reflections_agree_with_pillow(orientation: int) -> None:
    picture = Image.fromarray(PIXELS)
    picture.getexif()[0x0112] = orientation
    assert apply_orientation(PIXELS, orientation).tolist() == np.asarray(ImageOps.exif_transpose(picture)).tolist()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_how_a_picture_lies(form: str) -> None:
    for orientation in (1, 3, 6, 77):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stream = io.BytesIO()
        Image.new("RGB", (8, 4)).save(stream, form, exif=exif)
        expected = orientation if orientation < 9 else 1
        assert orientation_of(stream.getvalue(), name="x", formats=(form,)) == expected


def test_sizes_tell_how_a_trimap_lies() -> None:
    assert fit(PIXELS, (2, 3), 1) == PIXELS.tolist()
    assert fit(PIXELS, (2, 3), 6) == PIXELS.tolist()  # as it is seen
    assert fit(PIXELS, (3, 2), 6) == [[3, 0], [4, 1], [5, 2]]  # as it lies: a quarter to the right
    assert fit(PIXELS, (3, 2), 6, "raw") == [[3, 0], [4, 1], [5, 2]]


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_where_sizes_cannot_tell_the_user_is_asked(orientation: int) -> None:
    with pytest.raises(InputError, match=r"a\.jpg is rotated by its EXIF.*t\.png.*--trimap-orientation upright .* raw"):
        fit(PIXELS, (2, 3), orientation)
    assert fit(PIXELS, (2, 3), orientation, "upright") == PIXELS.tolist()
    assert fit(PIXELS, (2, 3), orientation, "raw") == apply_orientation(PIXELS, orientation).tolist()
    same = np.full((2, 3), 7, np.uint8)  # it does not matter
    assert fit(same, (2, 3), orientation) == same.tolist()
    assert fit(PIXELS, (2, 3), 1, "raw") == PIXELS.tolist()  # of a picture that is not rotated


def test_a_square_is_doubtful_too() -> None:
    square = np.arange(4, dtype=np.uint8).reshape(2, 2)
    with pytest.raises(InputError, match="--trimap-orientation"):
        fit(square, (2, 2), 8)


@pytest.mark.parametrize(
    ("size", "orientation", "lies", "said"),
    [
        ((3, 2), 1, None, "a.jpg is 2×3 but t.png is 3×2: one of them is rotated by 90°: rotate it back"),
        ((2, 4), 1, None, "a.jpg is 4×2 but t.png is 3×2: make them equal"),
        ((2, 4), 6, None, "a.jpg is 4×2 (rotated as its EXIF says) but t.png is 3×2: make them equal"),
        ((3, 2), 6, "upright", "t.png does not lie as --trimap-orientation upright says, by its size: leave that out"),
        ((2, 3), 6, "raw", "t.png does not lie as --trimap-orientation raw says, by its size: leave that out"),
    ],
)
def test_other_sizes_are_refused_and_rotation_named(
    size: tuple[int, int], orientation: int, lies: Orientation | None, said: str
) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        fit(PIXELS, size, orientation, lies)
