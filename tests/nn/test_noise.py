import pytest
import torch
from torch import Tensor

from drip_lightning.nn.noise import AnnealedMultiResolutionNoise, GaussianNoise, MultiResolutionNoise, ZeroNoise
from drip_lightning.ops.domains import split_domains
from drip_lightning.ops.noise import multi_resolution_noise

SHAPE = (4, 8, 8)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def drawn(noise: MultiResolutionNoise, *seeds: int, strength: float = 0.5) -> Tensor:
    return noise.draw_pairs(SHAPE, strengths=[strength] * len(seeds), generators=generators(*seeds))


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_without_annealing_every_timestep_has_the_noise_of_the_last(upsampling) -> None:
    noise = MultiResolutionNoise(upsampling=upsampling)
    annealed = AnnealedMultiResolutionNoise(upsampling=upsampling)
    for strength in (0.0, 0.3, 1.0):
        assert torch.equal(drawn(noise, 1, 2, strength=strength), drawn(annealed, 1, 2, strength=1.0))
    assert not torch.equal(drawn(noise, 1, strength=0.3), drawn(annealed, 1, strength=0.3))


@pytest.mark.parametrize("kind", [MultiResolutionNoise, AnnealedMultiResolutionNoise])
def test_a_batch_wide_deviation_is_that_of_each_domains_batch(kind) -> None:
    """Alg. 1's sum, drawn sample by sample, over the standard deviation of all samples of a domain."""
    strength = 1.0 if kind is MultiResolutionNoise else 0.5
    found = split_domains(drawn(kind(deviation="batch"), 1, 2, 3))
    raw: tuple[list[Tensor], list[Tensor]] = ([], [])
    for generator in generators(1, 2, 3):
        for domain in raw:
            domain.append(multi_resolution_noise(SHAPE, strength=strength, generator=generator, normalise=False))
    for domain, expected in zip(found, map(torch.stack, raw), strict=True):
        torch.testing.assert_close(domain, expected / expected.std())
        assert domain.std() == pytest.approx(1, abs=1e-5)


def test_a_sample_depends_on_its_batch_only_with_a_batch_wide_deviation() -> None:
    for deviation, alike in (("sample", True), ("batch", False)):
        noise = AnnealedMultiResolutionNoise(deviation=deviation)
        together, alone = drawn(noise, 1, 2), drawn(noise, 2)
        assert torch.equal(together[1::2], alone) == alike


def test_zero_noise_draws_nothing() -> None:
    (generator,) = generators(3)
    noise = ZeroNoise().draw_pairs(SHAPE, strengths=[1.0], generators=[generator])
    assert noise.shape == (2, *SHAPE)
    assert not noise.any()
    assert torch.equal(torch.rand(3, generator=generator), torch.rand(3, generator=generators(3)[0]))


def test_gaussian_noise_is_the_same_at_every_strength() -> None:
    weak, strong = (GaussianNoise().draw(SHAPE, strength=s, generator=generators(1)[0]) for s in (0.0, 1.0))
    assert torch.equal(weak, strong)
