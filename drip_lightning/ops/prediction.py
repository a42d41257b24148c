"""The forward process and what the denoiser may be asked to predict.

With `alphas_cumprod` the schedule's cumulated product at a sample's timestep, the noisy latent is
`z_t = sqrt(alphas_cumprod) z_0 + sqrt(1 - alphas_cumprod) noise` (Ho et al. 2020, Eq. 4).
"""

from typing import Literal

from torch import Tensor

PredictionType = Literal["epsilon", "v_prediction", "sample"]


def _scales(alphas_cumprod: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
    shape = (-1, *([1] * (latent.ndim - 1)))
    return alphas_cumprod.sqrt().view(shape), (1 - alphas_cumprod).sqrt().view(shape)


def add_noise(latent: Tensor, noise: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """Diffuse clean latents (B, …) with noise (B, …) to the timesteps whose `alphas_cumprod` (B,) is given."""
    signal_scale, noise_scale = _scales(alphas_cumprod, latent)
    return signal_scale * latent + noise_scale * noise


def prediction_target(prediction_type: PredictionType, latent: Tensor, noise: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """What a denoiser of this type should answer (B, …): noise, velocity (Salimans & Ho 2022) or clean latent.

    Raises:
        ValueError: for an unknown prediction type.
    """
    if prediction_type == "epsilon":
        return noise
    if prediction_type == "sample":
        return latent
    if prediction_type == "v_prediction":
        signal_scale, noise_scale = _scales(alphas_cumprod, latent)
        return signal_scale * noise - noise_scale * latent
    raise ValueError(f"prediction_type: expected epsilon, v_prediction or sample, got {prediction_type!r}")


def predicted_latent(
    prediction_type: PredictionType, prediction: Tensor, noisy_latent: Tensor, alphas_cumprod: Tensor
) -> Tensor:
    """The clean latent (B, …) that a prediction implies; undoes `prediction_target`.

    Raises:
        ValueError: for an unknown prediction type.
    """
    signal_scale, noise_scale = _scales(alphas_cumprod, noisy_latent)
    if prediction_type == "epsilon":
        return (noisy_latent - noise_scale * prediction) / signal_scale
    if prediction_type == "sample":
        return prediction
    if prediction_type == "v_prediction":
        return signal_scale * noisy_latent - noise_scale * prediction
    raise ValueError(f"prediction_type: expected epsilon, v_prediction or sample, got {prediction_type!r}")
