import colorsys

import numpy as np
import torch

from drip_lightning.ops.colour import chain, colour_matrix, distort, uint8_matrix


def _apply(matrix: np.ndarray, colour: tuple[float, ...]) -> np.ndarray:
    return matrix[:, :3] @ np.array(colour) + matrix[:, 3]


def test_brightness_contrast_and_saturation_by_hand() -> None:
    colour = (0.2, 0.4, 0.6)
    assert np.allclose(_apply(colour_matrix(brightness=0.1), colour), (0.3, 0.5, 0.7))
    assert np.allclose(_apply(colour_matrix(contrast=0.5), colour), (0.35, 0.45, 0.55))
    grey = 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6
    assert np.allclose(_apply(colour_matrix(saturation=0.0), colour), grey)
    assert np.allclose(_apply(colour_matrix(saturation=2.0), colour), 2 * np.array(colour) - grey)


def test_hue_turns_about_the_grey_axis() -> None:
    third = colour_matrix(hue=2 * np.pi / 3)
    assert np.allclose(_apply(third, (0.9, 0.2, 0.4)), (0.4, 0.9, 0.2))  # red becomes green, green blue, blue red
    assert np.allclose(_apply(colour_matrix(hue=0.7), (0.3, 0.3, 0.3)), 0.3)
    turned = _apply(colour_matrix(hue=0.3), (0.7, 0.5, 0.45))
    assert 0 < colorsys.rgb_to_hsv(*turned)[0] - colorsys.rgb_to_hsv(0.7, 0.5, 0.45)[0] < 0.1
    assert np.allclose(chain(colour_matrix(hue=-0.7), colour_matrix(hue=0.7)), np.eye(3, 4))


def test_chained_maps_are_one_after_the_other() -> None:
    first = colour_matrix(brightness=0.1, contrast=1.2, saturation=0.7, hue=0.2)
    second = colour_matrix(brightness=-0.2, contrast=0.8)
    colour = (0.2, 0.4, 0.6)
    assert np.allclose(_apply(chain(second, first), colour), _apply(second, tuple(_apply(first, colour))))


def test_values_are_rounded_and_clipped_for_each_sample_apart() -> None:
    picture = torch.randint(0, 256, (3, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    maps = [colour_matrix(), colour_matrix(brightness=1.0), colour_matrix(contrast=1.3, saturation=0.5, hue=0.4)]
    result = distort(picture, torch.stack([uint8_matrix(matrix) for matrix in maps]))
    assert torch.equal(result[0], picture[0])
    assert (result[1] == 255).all()
    exact = np.einsum("kc,chw->khw", maps[2][:, :3], picture[2] / 255) + maps[2][:, 3, None, None]
    assert np.abs(result[2].numpy() - (exact * 255).clip(0, 255)).max() < 0.5 + 0.2  # coefficients have 12 bits
