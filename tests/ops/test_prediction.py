import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from drip_lightning.ops.prediction import add_noise, predicted_latent, prediction_target

TYPES = ("epsilon", "v_prediction", "sample")
REFERENCE = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
TIMESTEP = torch.tensor([0, 1, 250, 500, 998, 999])


@pytest.fixture
def latents() -> tuple[torch.Tensor, torch.Tensor]:
    latent, noise = torch.randn(2, len(TIMESTEP), 4, 5, 3, generator=torch.Generator().manual_seed(0))
    return latent, noise


def test_forward_process_equals_diffusers(latents) -> None:
    latent, noise = latents
    ours = add_noise(latent, noise, REFERENCE.alphas_cumprod[TIMESTEP])
    torch.testing.assert_close(ours, REFERENCE.add_noise(latent, noise, TIMESTEP))


def test_velocity_equals_diffusers(latents) -> None:
    latent, noise = latents
    ours = prediction_target("v_prediction", latent, noise, REFERENCE.alphas_cumprod[TIMESTEP])
    torch.testing.assert_close(ours, REFERENCE.get_velocity(latent, noise, TIMESTEP))


def test_other_targets_are_the_noise_and_the_latent(latents) -> None:
    latent, noise = latents
    alphas_cumprod = REFERENCE.alphas_cumprod[TIMESTEP]
    assert torch.equal(prediction_target("epsilon", latent, noise, alphas_cumprod), noise)
    assert torch.equal(prediction_target("sample", latent, noise, alphas_cumprod), latent)


def test_hand_numbers() -> None:
    # alphas_cumprod = 0.64: signal 0.8, noise 0.6
    latent, noise, alphas_cumprod = torch.tensor([[10.0]]), torch.tensor([[5.0]]), torch.tensor([0.64])
    assert add_noise(latent, noise, alphas_cumprod).item() == pytest.approx(8 + 3)
    assert prediction_target("v_prediction", latent, noise, alphas_cumprod).item() == pytest.approx(4 - 6)


@pytest.mark.parametrize("prediction_type", TYPES)
@given(product=st.floats(1e-3, 1), seed=st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_predicted_latent_undoes_the_target(prediction_type, product, seed) -> None:
    latent, noise = torch.randn(2, 2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    alphas_cumprod = torch.full((2,), product, dtype=torch.float64)
    noisy = add_noise(latent, noise, alphas_cumprod)
    target = prediction_target(prediction_type, latent, noise, alphas_cumprod)
    torch.testing.assert_close(predicted_latent(prediction_type, target, noisy, alphas_cumprod), latent)


@pytest.mark.parametrize("prediction_type", ["v_prediction", "sample"])
def test_pure_noise_can_be_undone_by_these_types(prediction_type) -> None:
    latent, noise = torch.randn(2, 2, 4, 3)
    alphas_cumprod = torch.zeros(2)
    target = prediction_target(prediction_type, latent, noise, alphas_cumprod)
    torch.testing.assert_close(predicted_latent(prediction_type, target, noise, alphas_cumprod), latent)


def test_unknown_type_is_refused() -> None:
    tensor, alphas_cumprod = torch.zeros(1, 2), torch.ones(1)
    with pytest.raises(ValueError, match="got 'score'"):
        prediction_target("score", tensor, tensor, alphas_cumprod)
    with pytest.raises(ValueError, match="got 'score'"):
        predicted_latent("score", tensor, tensor, alphas_cumprod)
