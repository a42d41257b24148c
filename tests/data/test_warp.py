import numpy as np
import pytest

from drip_lightning.data.augment import Placement
from drip_lightning.data.warp import crop_background, crop_foreground, lay_over, pyramid

PLAIN = Placement(scale=1.0, place=(0.0, 0.0), rotation=0.0, shear=0.0, stretch=1.0, flip=False)
NOWHERE = np.empty((0, 2), np.int32)


def _noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def _planar(rgba: np.ndarray) -> np.ndarray:
    return rgba.transpose(2, 0, 1)


def test_crop_at_scale_one_copies_pixels_around_the_centre() -> None:
    rgba = _noise(30, 40, 4)
    rgba[..., 3] = 255
    cropped = crop_foreground(pyramid(rgba), np.array([[12, 20]]), PLAIN, 9)
    assert (cropped == _planar(rgba[8:17, 16:25])).all()
    flipped = crop_foreground(pyramid(rgba), np.array([[12, 20]]), PLAIN._replace(flip=True), 9)
    assert (flipped == cropped[:, :, ::-1]).all()


def test_quarter_turn_is_exact() -> None:
    rgba = _noise(31, 31, 4)
    rgba[..., 3] = 255
    turned = crop_foreground(pyramid(rgba), np.array([[15, 15]]), PLAIN._replace(rotation=90.0), 31)
    assert (turned == np.rot90(_planar(rgba), axes=(1, 2))).all()


def test_crop_stays_inside_a_larger_picture_and_surrounds_a_smaller_one() -> None:
    rgba = np.full((10, 10, 4), 200, np.uint8)
    rgba[0, 9, 3] = 7
    corner = crop_foreground(pyramid(rgba), np.array([[0, 9]]), PLAIN, 6)
    assert (corner == _planar(rgba[:6, 4:])).all()
    around = crop_foreground(pyramid(rgba), np.array([[0, 9]]), PLAIN, 16)
    assert (around[:, 6:, :10] == _planar(rgba)).all()  # whole, as near to the wanted middle as that allows
    assert around[:, :6].sum() == around[:, :, 10:].sum() == 0


@pytest.mark.parametrize("scale", [0.5, 1.7, 2.6, 5.0])
@pytest.mark.parametrize("rotation", [0.0, 33.0])
def test_undefined_colour_never_bleeds(scale: float, rotation: float) -> None:
    rgba = np.full((80, 80, 4), 255, np.uint8)
    rgba[..., 3] = _noise(80, 80)
    rgba[:, ::3, 3] = 0
    rgba[rgba[..., 3] > 0, :3] = (180, 60, 20)
    placement = PLAIN._replace(scale=scale, rotation=rotation, shear=4.0, stretch=1.1)
    cropped = crop_foreground(pyramid(rgba), np.array([[40, 40]]), placement, 16)
    known = cropped[3] > 0
    assert known.any()
    assert np.abs(cropped[:3, known].astype(int) - [[180], [60], [20]]).max() <= 1
    assert (cropped[:3, ~known] == 0).all()


def test_reductions_keep_the_mean_of_alpha_and_of_premultiplied_colour() -> None:
    rgba = _noise(64, 96, 4)
    half = pyramid(rgba)[1].view(np.uint8).reshape(32, 48, 4).astype(float)
    blocks = rgba.astype(float).reshape(32, 2, 48, 2, 4)
    assert np.abs(half[..., 3] - blocks[..., 3].mean((1, 3))).max() <= 0.5
    premultiplied = (blocks[..., :3] * blocks[..., 3:]).sum((1, 3)) / blocks[..., 3:].sum((1, 3))
    assert np.abs(half[..., :3] - premultiplied).max() <= 0.5 + 1e-9


def test_bilinear_by_hand() -> None:
    rgba = np.array([[[100, 0, 0, 255], [200, 0, 0, 85]]], np.uint8)
    # the output's pixel lies midway: colours weigh 255 to 85, alpha is the mean
    between = crop_foreground(pyramid(rgba), NOWHERE, PLAIN._replace(scale=2.0), 1)
    assert between[:, 0, 0].tolist() == [125, 0, 0, 170]


def test_a_pictures_middle_is_taken_where_nothing_is_half_transparent() -> None:
    rgba = np.zeros((21, 21, 4), np.uint8)
    rgba[10, 10] = (9, 8, 7, 255)
    cropped = crop_foreground(pyramid(rgba), NOWHERE, PLAIN, 5)
    assert cropped[:, 2, 2].tolist() == [9, 8, 7, 255]


@pytest.mark.parametrize("size", [(1, 1), (5, 90), (90, 5), (40, 40), (301, 203)])
@pytest.mark.parametrize("place", [(0.0, 0.0), (0.999, 0.999), (0.3, 0.6)])
def test_background_of_any_size_fills_the_output(size: tuple[int, int], place: tuple[float, float]) -> None:
    rgba = np.full((*size, 4), 77, np.uint8)
    rgba[..., 3] = 255
    cropped = crop_background(pyramid(rgba), PLAIN._replace(place=place, scale=2.0), 16)
    assert (cropped == np.full((3, 16, 16), 77)).all()


def test_background_crop_copies_pixels_from_its_place() -> None:
    rgba = _noise(20, 30, 4)
    rgba[..., 3] = 255
    cropped = crop_background(pyramid(rgba), PLAIN._replace(place=(1.0, 0.5)), 10)
    assert (cropped == _planar(rgba[10:20, 10:20, :3])).all()
    turned = crop_background(pyramid(rgba), PLAIN._replace(place=(1.0, 0.5), flip=True), 10)
    assert (turned == cropped[:, :, ::-1]).all()


def test_two_foregrounds_by_hand_and_by_formula() -> None:
    front, behind = _noise(4, 7, 9), _noise(4, 7, 9, seed=1)
    front[:, 0, 0], behind[:, 0, 0] = (100, 0, 50, 51), (200, 100, 0, 255)
    joint = lay_over(front, behind)
    assert joint[:, 0, 0].tolist() == [180, 80, 10, 255]  # a fifth of the first, the rest of the second
    a1, a2 = front[3] / 255, behind[3] / 255
    alpha = 1 - (1 - a1) * (1 - a2)
    assert np.abs(joint[3] - alpha * 255).max() <= 0.5 + 1e-4
    colour = (a1 * front[:3] + (1 - a1) * a2 * behind[:3]) / np.maximum(alpha, 1e-9)
    assert np.abs(joint[:3] - colour)[:, alpha > 0].max() <= 0.5 + 1e-3
    assert (lay_over(front, np.zeros_like(front))[:, front[3] > 0] == front[:, front[3] > 0]).all()
