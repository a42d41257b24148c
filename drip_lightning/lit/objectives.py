"""What a denoiser is trained to do: undo noise of any strength, or give the matte in one step."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from drip_lightning.data.sample import MattingBatch
from drip_lightning.errors import InputError
from drip_lightning.nn.losses import LossTerms, MattingLoss
from drip_lightning.nn.noise import ZeroNoise
from drip_lightning.ops.domains import split_domains, stack_domains
from drip_lightning.ops.prediction import add_noise, predicted_latent, prediction_target
from drip_lightning.ops.randomness import sample_generator

if TYPE_CHECKING:
    from drip_lightning.lit.denoiser import Denoiser


class Objective(ABC):
    """A choice of training loss for the denoiser."""

    one_step: bool = False
    """Whether a denoiser trained so can make use of one sampling step alone."""

    @abstractmethod
    def check(self, denoiser: "Denoiser") -> None:
        """Refuse settings that do not go with this objective.

        Raises:
            InputError: naming both.
        """

    @abstractmethod
    def __call__(self, denoiser: "Denoiser", batch: MattingBatch) -> LossTerms:
        """The loss of a training batch, with gradient."""


@dataclass(frozen=True)
class Denoising(Objective):
    """Predict the noise (or velocity, or clean latent) at every timestep: the paper's choice (DRIP Eq. 5)."""

    def check(self, denoiser: "Denoiser") -> None:
        """Refuse noise that is none."""
        if isinstance(denoiser.noise, ZeroNoise):
            raise InputError("objective Denoising with noise ZeroNoise: there is nothing to denoise; use OneStep")

    def __call__(self, denoiser: "Denoiser", batch: MattingBatch) -> LossTerms:
        """Noise both domains' latents and predict the noise."""
        image, trimap, foreground, alpha = denoiser.encode(batch)
        latents, condition = stack_domains(foreground, alpha), torch.cat([image, trimap], dim=1)
        timestep, noise = denoiser.draw(batch["number"], latents)
        alphas_cumprod = denoiser.alphas_cumprod[stack_domains(timestep, timestep)]

        prediction = denoiser.joint_unet(add_noise(latents, noise, alphas_cumprod), condition, timestep)
        target = prediction_target(denoiser.noise_schedule.prediction_type, latents, noise, alphas_cumprod)
        foreground_loss, alpha_loss = split_domains((prediction.float() - target).square().flatten(1).mean(dim=1))
        terms = {"foreground": foreground_loss.mean(), "alpha": alpha_loss.mean()}
        return LossTerms(
            total=terms["foreground"] + terms["alpha"], terms={name: term.detach() for name, term in terms.items()}
        )


class OneStep(Objective):
    """Give the matte in one step from the last timestep, taught end to end through the frozen VAE decoder.

    After Garcia et al. 2024 ("Fine-Tuning Image-Conditional Diffusion Models is Easier than You Think"). With
    `ZeroNoise` the network is deterministic; other noise starts the step from that noise. The terminal SNR must be
    zero, so that training starts from just what sampling starts from.

    Args:
        loss: Weights of the loss between decoded and true maps (DRIP App. A.3).
    """

    one_step = True

    def __init__(self, loss: MattingLoss | None = None) -> None:
        self.loss = loss or MattingLoss()

    def check(self, denoiser: "Denoiser") -> None:
        """Want one sampling step, and zero terminal SNR."""
        if denoiser.sampling_steps != 1:
            raise InputError(
                f"objective OneStep with sampling_steps={denoiser.sampling_steps}: set sampling_steps to 1"
            )
        if not denoiser.noise_schedule.zero_terminal_snr:
            raise InputError(
                "objective OneStep with zero_terminal_snr=false: set noise_schedule.zero_terminal_snr to true and its "
                "prediction_type to v_prediction or sample"
            )

    def __call__(self, denoiser: "Denoiser", batch: MattingBatch) -> LossTerms:
        """Predict the clean latents from noise alone, decode them, and compare pictures."""
        condition = denoiser.pipeline.condition(batch["image"], batch["trimap"])
        pairs, _, height, width = condition.shape
        noise = denoiser.noise.draw_pairs(
            (denoiser.codec.channels, height, width),
            strengths=[1.0] * pairs,
            generators=[sample_generator(denoiser.seed, number, "diffusion") for number in batch["number"]],
        ).to(condition)
        timestep = torch.full((pairs,), denoiser.noise_schedule.num_train_timesteps - 1, device=condition.device)
        alphas_cumprod = denoiser.alphas_cumprod[stack_domains(timestep, timestep)]

        prediction = denoiser.joint_unet(noise, condition, timestep).float()
        latents = predicted_latent(denoiser.noise_schedule.prediction_type, prediction, noise, alphas_cumprod)
        foreground, alpha = denoiser.codec.decode(latents)
        return self.loss(
            foreground=foreground,
            alpha=alpha,
            true_foreground=batch["foreground"],
            true_alpha=batch["alpha"],
            trimap=batch["trimap"],
        )
