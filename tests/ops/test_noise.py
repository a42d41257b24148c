from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from drip_lightning.nn.noise import AnnealedMultiResolutionNoise, GaussianNoise, NoiseSampler
from drip_lightning.ops.noise import marigold_noise, multi_resolution_noise

SHAPE = (4, 32, 32)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def neighbour_correlation(noise: Tensor) -> float:
    """Of horizontally adjacent pixels, over all channels."""
    pairs = torch.stack([noise[..., :-1].flatten(), noise[..., 1:].flatten()])
    return float(torch.corrcoef(pairs)[0, 1])


def low_frequency_share(noise: Tensor) -> float:
    """Share of the power in the lowest eighth of the frequencies along both axes."""
    power = torch.fft.fft2(noise).abs().square()
    low = torch.fft.fftfreq(noise.shape[-1]).abs() < 1 / 16
    return float(power[..., low, :][..., low].sum() / power.sum())


@given(
    seed=st.integers(0, 1000),
    strength=st.floats(0, 1),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    discount=st.floats(0.1, 1),
    upsampling=st.sampled_from(["nearest", "bilinear"]),
)
@settings(max_examples=50, deadline=None)
def test_each_sample_has_unit_deviation(seed, strength, height, width, discount, upsampling) -> None:
    noise = multi_resolution_noise(
        (4, height, width), strength=strength, generator=generator(seed), discount=discount, upsampling=upsampling
    )
    assert noise.std().item() == pytest.approx(1, abs=1e-5)


def test_without_strength_it_is_the_first_gaussian_draw() -> None:
    noise = multi_resolution_noise(SHAPE, strength=0.0, generator=generator(3))
    plain = torch.randn(SHAPE, generator=generator(3))
    torch.testing.assert_close(noise, plain / plain.std(), rtol=0, atol=0)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 48)])
def test_equals_marigold_s_published_code(height: int, width: int) -> None:
    """`multi_res_noise_like` with downscale_strategy "original", for one sample, r read from the same stream."""
    strength, stream = 0.9 * 0.5, generator(7)
    x = torch.randn((1, 4, height, width), generator=stream)
    up_sampler = torch.nn.Upsample(size=(height, width), mode="bilinear")
    noise, w, h = x, height, width
    for i in range(10):
        r = torch.rand((), generator=stream).item() * 2 + 2
        w, h = max(1, int(w / (r**i))), max(1, int(h / (r**i)))
        noise = noise + up_sampler(torch.randn(1, 4, w, h, generator=stream)) * strength**i
        if w == 1 or h == 1:
            break
    found = marigold_noise((4, height, width), strength=0.5, generator=generator(7))
    torch.testing.assert_close(found, (noise / noise.std())[0])


def test_marigold_s_pyramid_is_less_coarse_than_alg_1() -> None:
    """The deviation of the means of channels, at T/2."""

    def deviation(draw: Callable[..., Tensor]) -> float:
        means = [draw((4, 64, 64), strength=0.5, generator=generator(seed)).mean(dim=(1, 2)) for seed in range(64)]
        return float(torch.cat(means).std())

    assert deviation(marigold_noise) == pytest.approx(0.11, abs=0.03)
    assert deviation(multi_resolution_noise) == pytest.approx(0.27, abs=0.05)


def test_equals_alg_1_written_out() -> None:
    """DRIP Alg. 1 for a 4×4 latent in NumPy, with r read from the same stream."""
    stream = generator(5)
    expected = torch.randn((2, 4, 4), generator=stream).numpy()
    for level in range(10):
        ratio = 2 + 2 * torch.rand((), generator=stream).item()
        size = max(1, int(4 / ratio**level))
        coarse = torch.randn((1, 2, size, size), generator=stream).numpy()[0]
        places = np.arange(4) * size // 4  # nearest
        expected = expected + 0.6 * 0.5**level * coarse[:, places][:, :, places]
        if size == 1:
            break
    noise = multi_resolution_noise((2, 4, 4), strength=0.6, generator=generator(5), discount=0.5)
    np.testing.assert_allclose(noise, expected / expected.std(ddof=1), atol=1e-6)


def test_coarse_part_grows_with_the_timestep() -> None:
    """White noise has no correlated neighbours and 1/64 of its power in the lowest 1/8 × 1/8 of the spectrum."""
    noises = {
        strength: [multi_resolution_noise(SHAPE, strength=strength, generator=generator(seed)) for seed in range(24)]
        for strength in (0.0, 0.5, 1.0)
    }
    correlation = {strength: np.mean([*map(neighbour_correlation, batch)]) for strength, batch in noises.items()}
    share = {strength: np.mean([*map(low_frequency_share, batch)]) for strength, batch in noises.items()}
    assert abs(correlation[0.0]) < 0.01
    assert share[0.0] == pytest.approx((3 / 32) ** 2, rel=0.1)
    assert correlation[0.0] + 0.1 < correlation[0.5] < correlation[1.0] - 0.05
    assert correlation[1.0] > 0.3
    assert 4 * share[0.0] < share[0.5] < share[1.0]


@pytest.mark.parametrize("strength", [-0.01, 1.01])
def test_strength_outside_its_range_is_refused(strength) -> None:
    with pytest.raises(ValueError, match="strength: expected"):
        multi_resolution_noise(SHAPE, strength=strength, generator=generator(0))


@pytest.mark.parametrize("sampler", [AnnealedMultiResolutionNoise(), GaussianNoise()], ids=["annealed", "gaussian"])
def test_a_sample_does_not_depend_on_its_batch(sampler: NoiseSampler) -> None:
    batch = sampler.draw_pairs(SHAPE, strengths=[0.1, 0.9, 0.5], generators=[generator(seed) for seed in (7, 8, 9)])
    alone = sampler.draw_pairs(SHAPE, strengths=[0.9], generators=[generator(8)])
    assert torch.equal(batch[[1, 4]], alone)


@pytest.mark.parametrize("sampler", [AnnealedMultiResolutionNoise(), GaussianNoise()], ids=["annealed", "gaussian"])
def test_the_domains_of_a_pair_have_independent_noise(sampler: NoiseSampler) -> None:
    pairs = 32
    generators = [generator(seed) for seed in range(pairs)]
    foreground, alpha = sampler.draw_pairs(SHAPE, strengths=[0.3] * pairs, generators=generators).chunk(2)
    correlation = torch.corrcoef(torch.stack([foreground.flatten(), alpha.flatten()]))[0, 1]
    assert abs(correlation) < 0.03
    for one, other in zip(foreground, alpha, strict=True):
        assert not torch.equal(one, other)


def test_gaussian_noise_ignores_the_timestep() -> None:
    noise = GaussianNoise().draw(SHAPE, strength=1.0, generator=generator(0))
    assert torch.equal(noise, torch.randn(SHAPE, generator=generator(0)))
