import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drip_lightning.data.convert.composites import Composites, composite_as_reference
from drip_lightning.data.convert.conversion import convert
from drip_lightning.errors import InputError
from tests.data.convert.folders import discs, pictures, save
from tests.shards import disc_rgba


def test_a_pixel_at_a_time_by_hand() -> None:
    """100 over 201 at alpha 51/255 = 0.2 is 20 + 160.8 = 180.8: 180, where rounding would say 181."""
    alpha = np.array([[0, 51, 128, 254, 255]], np.uint8)
    foreground = np.full((1, 5, 3), 100, np.uint8)
    background = Image.new("RGB", (5, 1), (201, 100, 0))
    composite = composite_as_reference(foreground, alpha, background)
    assert composite[0, :, 0].tolist() == [201, 180, 150, 100, 100]  # 150.3, 100.4
    assert composite[0, :, 2].tolist() == [0, 20, 50, 99, 100]  # 20.0, 50.2, 99.6
    # 0.2 × 100 + 0.8 × 100 in double precision is 100, not 99.999: nothing is lost where the colours agree
    assert composite[0, :, 1].tolist() == [100] * 5


def test_a_larger_background_is_cropped_at_its_top_left_and_not_scaled() -> None:
    background = np.arange(6 * 9 * 3, dtype=np.uint8).reshape(6, 9, 3)
    nothing = np.zeros((4, 5), np.uint8)
    composite = composite_as_reference(np.zeros((4, 5, 3), np.uint8), nothing, Image.fromarray(background))
    assert (composite == background[:4, :5]).all()


def _cubic(x: float) -> float:
    """Keys' kernel with a = -1/2."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def _enlarge(line: list[float], size: int) -> list[int]:
    """Bicubic by the definition: pixel centres correspond, the window is cut at the borders and weighs one in sum."""
    scale, result = len(line) / size, []
    for position in range(size):
        centre = (position + 0.5) * scale
        first, last = max(0, int(centre - 2 + 0.5)), min(len(line), int(centre + 2 + 0.5))
        weights = [_cubic(source + 0.5 - centre) for source in range(first, last)]
        value = sum(w * line[s] for w, s in zip(weights, range(first, last), strict=True)) / sum(weights)
        result.append(min(255, max(0, math.floor(value + 0.5))))
    return result


def test_a_smaller_background_is_enlarged_bicubically_by_one_factor_rounded_up() -> None:
    """A 3×2 background behind a 7×5: the factor is 5 / 2, so it becomes 8×5, and loses its right column."""
    line = [10, 200, 90]
    background = Image.fromarray(np.repeat(np.array([line] * 2, np.uint8)[..., None], 3, axis=2))
    composite = composite_as_reference(np.zeros((5, 7, 3), np.uint8), np.zeros((5, 7), np.uint8), background)
    assert composite.shape == (5, 7, 3)
    assert composite[0, :, 0].tolist() == _enlarge([float(value) for value in line], 8)[:7]
    assert (composite == composite[:1, :, :1]).all()
    # sides that are too small in one direction only: 6×1 behind 7×1 is ceil(6 × 7/6) = 7 or 8 wide, never 6
    for width in range(1, 30):
        wide = composite_as_reference(
            np.zeros((1, 30, 3), np.uint8), np.zeros((1, 30), np.uint8), Image.new("RGB", (width, 1), (7, 8, 9))
        )
        assert (wide == [7, 8, 9]).all()


def test_own_foregrounds_take_own_backgrounds_in_turn(tmp_path: Path) -> None:
    foregrounds, backgrounds = discs(tmp_path / "fg", 3), tmp_path / "bg"
    for i in range(2):
        save(backgrounds / f"{i}.png", np.full((30, 30, 3), 100 * i, np.uint8))
    convert(Composites(sources=(foregrounds, backgrounds), each=3), tmp_path / "out", workers=1)
    found = pictures(tmp_path / "out")
    for number in range(9):
        key, rgba = f"disc{number // 3}_{number % 3}", disc_rgba(number // 3, 20 + number // 3, 24)
        nothing, opaque = rgba[..., 3] == 0, rgba[..., 3] == 255
        assert (found[f"{key}.image.png"][nothing] == 100 * (number % 2)).all()
        assert (found[f"{key}.image.png"][opaque] == rgba[opaque][:, :3]).all()
        assert (found[f"{key}.alpha.png"] == rgba[..., 3]).all()
        assert (found[f"{key}.trimap.png"][(rgba[..., 3] > 0) & ~opaque] == 128).all()


def test_composites_without_backgrounds_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "bg").mkdir()
    with pytest.raises(InputError, match="no pictures in"):
        convert(Composites(sources=(discs(tmp_path / "fg", 3), tmp_path / "bg")), tmp_path / "out", workers=1)
