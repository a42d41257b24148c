import numpy as np

from drip_lightning.ops.srgb import linear_to_srgb, srgb_to_linear


def test_known_values_and_back() -> None:
    levels = np.array([0, 0.02, 0.04045, 0.5, 188 / 255, 1, 1.5])
    light = srgb_to_linear(levels)
    assert np.allclose(light[[0, 1, 3, 4, 5]], [0, 0.02 / 12.92, 0.21404114, 0.50288646, 1])
    assert np.allclose(linear_to_srgb(light), levels, atol=1e-7)
    assert srgb_to_linear(np.float32([0.3])).dtype == linear_to_srgb(np.float32([0.3])).dtype == np.float32
