import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from drip_lightning.ops.degrade import add_noise, blur_taps, filter_picture, shrink_taps

NOISE = torch.randint(0, 256, (3, 40, 56), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_blur_is_scipys() -> None:
    for sigma in (0.4, 1.5):
        blurred = filter_picture(NOISE, blur_taps(40, sigma), blur_taps(56, sigma))
        radius = max(1, int(np.ceil(2.5 * sigma)))
        expected = gaussian_filter(
            NOISE.numpy().astype(float), (0, sigma, sigma), mode="nearest", radius=(0, radius, radius)
        )
        assert np.abs(blurred.numpy() - expected).max() <= 0.51


@pytest.mark.parametrize("scale", [0.1, 0.31, 0.5, 0.77, 0.99])
@pytest.mark.parametrize("size", [1, 2, 37, 64])
def test_shrinking_keeps_ramps_and_kills_stripes(size: int, scale: float) -> None:
    first, weights = shrink_taps(size, scale)
    assert np.allclose(weights.sum(1), 1, atol=1e-6)
    places = (first[:, None] + np.arange(weights.shape[1])).clip(0, size - 1)
    ramp = (weights * places).sum(1)
    inner = slice(size // 4, size - size // 4)
    if size * scale > 8:
        assert np.abs(ramp - np.arange(size))[inner].max() < 0.02 * size
    if scale <= 0.5 and size == 64:
        assert np.abs((weights * (places % 2)).sum(1) - 0.5)[inner].max() < 0.15


def test_noise_has_its_deviation_and_depends_on_the_seed_alone() -> None:
    grey = torch.full((3, 256, 256), 128, dtype=torch.uint8)
    noisy = add_noise(grey, 10.0, 7)
    assert torch.equal(noisy, add_noise(grey, 10.0, 7))
    assert not torch.equal(noisy, add_noise(grey, 10.0, 8))
    values = noisy.double() - 128
    assert abs(values.mean()) < 0.1
    assert abs(values.std() - 10) < 0.1
    for shift in ((0, 1), (1, 0), (3, 2)):
        rolled = values.roll(shift, (1, 2))
        assert abs((values * rolled).mean() / values.var()) < 0.01
    assert abs(np.corrcoef(values.flatten(1))[0, 1]) < 0.01
