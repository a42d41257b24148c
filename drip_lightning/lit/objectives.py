"""What a denoiser is trained to do: undo noise of any strength, or give the matte in one step."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from drip_lightning.data.sample import MattingBatch
from drip_lightning.errors import InputError
from drip_lightning.nn.losses import LossTerms, MattingLoss
from drip_lightning.nn.noise import NoiseSampler, ZeroNoise
from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.nn.sampler import MattingSampler
from drip_lightning.ops.domains import split_domains, stack_domains
from drip_lightning.ops.prediction import add_noise, predicted_latent, prediction_target
from drip_lightning.ops.transfer import to_device


class Objective(ABC):
    """A choice of training loss for the denoiser."""

    one_step: bool = False
    """Whether a denoiser trained so can make use of one sampling step alone."""

    @abstractmethod
    def check(self, *, noise: NoiseSampler, noise_schedule: NoiseSchedule, sampling_steps: int) -> None:
        """Refuse settings of the denoiser that do not go with this objective.

        Args:
            noise: What latents are noised with.
            noise_schedule: Betas, prediction type and sampling.
            sampling_steps: Denoising steps in validation, test and prediction.

        Raises:
            InputError: naming both.
        """

    @abstractmethod
    def __call__(
        self,
        sampler: MattingSampler,
        batch: MattingBatch,
        *,
        alphas_cumprod: Tensor,
        generators: Sequence[Generator],
    ) -> LossTerms:
        """Compute a training batch's loss, with gradient to the joint denoiser's weights.

        Args:
            sampler: The denoiser as it will be used: its networks, noise and schedule.
            batch: B samples, with sides that the networks' halvings divide.
            alphas_cumprod: (T,) the schedule's, on the batch's device.
            generators: One for each sample, on the CPU: every random draw is made from these, so that a sample's
                does not depend on its batch.
        """


@dataclass(frozen=True)
class Denoising(Objective):
    """Predict the noise (or velocity, or clean latent) at every timestep: the paper's choice (DRIP Eq. 5)."""

    def check(self, *, noise: NoiseSampler, noise_schedule: NoiseSchedule, sampling_steps: int) -> None:
        """Refuse noise that is none."""
        if isinstance(noise, ZeroNoise):
            raise InputError("objective Denoising with noise ZeroNoise: there is nothing to denoise; use OneStep")

    def __call__(
        self,
        sampler: MattingSampler,
        batch: MattingBatch,
        *,
        alphas_cumprod: Tensor,
        generators: Sequence[Generator],
    ) -> LossTerms:
        """Encode, draw timestep and noise, add the noise, predict it (DRIP Eq. 5)."""
        image, trimap, foreground, alpha = sampler.codec.encode(
            batch["image"], batch["trimap"], batch["foreground"], batch["alpha"]
        )
        latents, condition = stack_domains(foreground, alpha), torch.cat([image, trimap], dim=1)
        timestep, noise = draw_diffusion(sampler.noise, sampler.schedule, latents, generators)
        alphas_cumprod = alphas_cumprod[stack_domains(timestep, timestep)]

        prediction = sampler.joint_unet(add_noise(latents, noise, alphas_cumprod), condition, timestep)
        target = prediction_target(sampler.schedule.prediction_type, latents, noise, alphas_cumprod)
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

    def check(self, *, noise: NoiseSampler, noise_schedule: NoiseSchedule, sampling_steps: int) -> None:
        """Want one sampling step, and zero terminal SNR."""
        if sampling_steps != 1:
            raise InputError(f"objective OneStep with sampling_steps={sampling_steps}: set sampling_steps to 1")
        if not noise_schedule.zero_terminal_snr:
            raise InputError(
                "objective OneStep with zero_terminal_snr=false: set noise_schedule.zero_terminal_snr to true and its "
                "prediction_type to v_prediction or sample"
            )

    def __call__(
        self,
        sampler: MattingSampler,
        batch: MattingBatch,
        *,
        alphas_cumprod: Tensor,
        generators: Sequence[Generator],
    ) -> LossTerms:
        """Predict the clean latents from noise alone, decode them, and compare pictures."""
        condition = sampler.condition(batch["image"], batch["trimap"])
        noise = sampler.starting_noise((condition.shape[-2], condition.shape[-1]), generators)
        timestep = torch.full((len(condition),), sampler.schedule.num_train_timesteps - 1, device=condition.device)
        alphas_cumprod = alphas_cumprod[stack_domains(timestep, timestep)]

        prediction = sampler.joint_unet(noise, condition, timestep).float()
        latents = predicted_latent(sampler.schedule.prediction_type, prediction, noise, alphas_cumprod)
        foreground, alpha = sampler.codec.decode(latents)
        return self.loss(
            foreground=foreground,
            alpha=alpha,
            true_foreground=batch["foreground"],
            true_alpha=batch["alpha"],
            trimap=batch["trimap"],
        )


def draw_diffusion(
    noise: NoiseSampler, schedule: NoiseSchedule, latents: Tensor, generators: Sequence[Generator]
) -> tuple[Tensor, Tensor]:
    """Draw each sample's timestep, uniform over the schedule's, and noise of the strength that belongs to it.

    Args:
        noise: What latents are noised with.
        schedule: Says how many timesteps there are.
        latents: (2B, C, h, w), for shape and device.
        generators: One for each of the B samples, on the CPU.

    Returns:
        Timesteps (B,), shared by the halves of a pair, and independent noise (2B, C, h, w).
    """
    total = schedule.num_train_timesteps
    timesteps = [int(torch.randint(total, (), generator=generator)) for generator in generators]
    strengths = [timestep / total for timestep in timesteps]
    _, channels, height, width = latents.shape
    drawn = noise.draw_pairs((channels, height, width), strengths=strengths, generators=generators)
    return to_device(torch.tensor(timesteps), latents.device), to_device(drawn, latents.device)
