import pytest
import torch
from torch import Tensor

from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.nn.sampling import sample_latents


@pytest.mark.parametrize("steps", [(0,), (3, -1), (1001, 2)])
def test_steps_out_of_range_are_refused(steps) -> None:
    with pytest.raises(ValueError, match=f"steps: expected 1 to 1000, got {min(steps)} to {max(steps)}"):
        sample_latents(lambda noisy, timesteps, places: noisy, torch.zeros(2, 1), NoiseSchedule(), steps=steps)


def test_each_sample_takes_its_own_steps_side_by_side() -> None:
    calls: list[dict[int, int]] = []

    def denoise(noisy: Tensor, timesteps: Tensor, places: Tensor) -> Tensor:
        assert len(noisy) == 2 * len(places)
        calls.append(dict(zip(places.tolist(), timesteps.tolist(), strict=True)))
        return noisy

    noise = torch.randn(6, 4, 2, 2)
    before = noise.clone()
    sample_latents(denoise, noise, NoiseSchedule(), steps=(1, 4, 2))
    assert calls == [{0: 999, 1: 999, 2: 999}, {1: 749, 2: 499}, {1: 499}, {1: 249}]
    assert torch.equal(noise, before)
