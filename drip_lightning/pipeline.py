"""From image and trimap to the matte: the one sampler that validation, `drip test` and `drip matte` share."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from drip_lightning.nn.joint_unet import JointUNet
from drip_lightning.nn.latents import LatentCodec
from drip_lightning.nn.noise import NoiseSampler
from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.nn.transparency import LatentDecoder
from drip_lightning.ops.geometry import pad_to_multiple, unpad


@dataclass(frozen=True)
class Matte:
    """What is predicted for a batch of pictures.

    Attributes:
        foreground: (B, 3, H, W) straight colour in [0, 1].
        alpha: (B, 1, H, W) in [0, 1].
    """

    foreground: Tensor
    alpha: Tensor


def sample_latents(
    denoise: Callable[[Tensor, Tensor], Tensor], noise: Tensor, schedule: NoiseSchedule, *, steps: int
) -> Tensor:
    """Denoise with DPM-Solver++ (DRIP Sec. 3.2: 10 steps).

    Args:
        denoise: `(noisy latents, timestep ()) -> prediction` in the schedule's prediction type.
        noise: Starting latents of unit variance, any shape.
        schedule: Betas, prediction type and spacing of the steps.
        steps: Number of calls of `denoise`, at least 1.

    Returns:
        Clean latents, shaped as `noise`.

    Raises:
        ValueError: if `steps` is not in [1, T].
    """
    if not 1 <= steps <= schedule.num_train_timesteps:
        raise ValueError(f"steps: expected 1 to {schedule.num_train_timesteps}, got {steps}")
    solver = schedule.solver()
    solver.set_timesteps(steps)
    latents = noise * solver.init_noise_sigma
    for timestep in solver.timesteps:
        prediction = denoise(solver.scale_model_input(latents, timestep), timestep)
        latents = solver.step(prediction, timestep, latents, return_dict=False)[0]
    return latents


@dataclass(frozen=True)
class MattingPipeline:
    """The trained parts, put together.

    Attributes:
        codec: Frozen VAE.
        joint_unet: The joint-domain denoiser.
        noise: What sampling starts from: the training noise at t = T.
        schedule: How to sample.
        decoder: What makes the result from the sampled latents.
    """

    codec: LatentCodec
    joint_unet: JointUNet
    noise: NoiseSampler
    schedule: NoiseSchedule
    decoder: LatentDecoder

    @property
    def size_multiple(self) -> int:
        """The networks want height and width divisible by this; `__call__` pads and crops by itself."""
        return math.lcm(self.codec.downsampling * self.joint_unet.size_multiple, self.decoder.size_multiple)

    def condition(self, image: Tensor, trimap: Tensor) -> Tensor:
        """Encode image (B, 3, H, W) and trimap (B, 1, H, W) to the denoiser's condition (B, 2C, h, w)."""
        return torch.cat(self.codec.encode(image, trimap), dim=1)

    def sample(self, condition: Tensor, *, steps: int, generators: Sequence[torch.Generator]) -> Tensor:
        """Sample both domains' latents (2B, C, h, w), domains stacked.

        Args:
            condition: (B, 2C, h, w), see `condition`.
            steps: Denoising steps.
            generators: One for each picture, on the CPU, so that a picture's result does not depend on its batch.
        """
        pairs, _, height, width = condition.shape
        shape = (self.codec.channels, height, width)
        noise = self.noise.draw_pairs(shape, strengths=[1.0] * pairs, generators=generators).to(condition)

        def denoise(noisy: Tensor, timestep: Tensor) -> Tensor:
            return self.joint_unet(noisy, condition, timestep.to(condition.device).expand(pairs))

        return sample_latents(denoise, noise, self.schedule, steps=steps)

    def decode(self, image: Tensor, trimap: Tensor, latents: Tensor) -> Matte:
        """Decode latents (2B, C, h, w); where the trimap is sure, alpha is the trimap's, and F = X where alpha is 1."""
        foreground, alpha = self.decoder(image, trimap, *self.codec.decode(latents), latents)
        alpha = torch.where(trimap == 0.5, alpha.clamp(0, 1), trimap)
        return Matte(foreground=torch.where(trimap == 1, image, foreground.clamp(0, 1)), alpha=alpha)

    @torch.no_grad()
    def __call__(
        self, image: Tensor, trimap: Tensor, *, steps: int = 10, generators: Sequence[torch.Generator]
    ) -> Matte:
        """Matte a batch of pictures of any size.

        Args:
            image: (B, 3, H, W) in [0, 1].
            trimap: (B, 1, H, W), exactly 0, 0.5 or 1.
            steps: Denoising steps.
            generators: One for each picture, on the CPU.
        """
        image_padded, size = pad_to_multiple(image, self.size_multiple)
        trimap_padded, _ = pad_to_multiple(trimap, self.size_multiple)
        latents = self.sample(self.condition(image_padded, trimap_padded), steps=steps, generators=generators)
        matte = self.decode(image_padded, trimap_padded, latents)
        return Matte(foreground=unpad(matte.foreground, size), alpha=unpad(matte.alpha, size))
