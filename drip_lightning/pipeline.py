"""From image and trimap to the matte: the one sampler that validation, `drip test` and `drip matte` share."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from drip_lightning.errors import InputError
from drip_lightning.nn.joint_denoiser import JointDenoiser
from drip_lightning.nn.latents import LatentCodec, LatentPairs
from drip_lightning.nn.noise import NoiseSampler
from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.nn.transparency import LatentDecoder
from drip_lightning.ops.domains import pair_domains, unpair_domains
from drip_lightning.ops.geometry import pad_to_multiple, reduce_picture, reduce_trimap, unpad
from drip_lightning.ops.hints.choice import Hints, NoHints
from drip_lightning.ops.transfer import to_device
from drip_lightning.ops.trimap import unknown_mask


@dataclass(frozen=True)
class Matte:
    """What is predicted for a batch of pictures.

    Attributes:
        foreground: (B, 3, H, W) straight colour in [0, 1].
        alpha: (B, 1, H, W) in [0, 1].
    """

    foreground: Tensor
    alpha: Tensor

    def crop(self, size: tuple[int, int]) -> "Matte":
        """Undo `pad_to_multiple` of the picture it was made of."""
        return Matte(foreground=unpad(self.foreground, size), alpha=unpad(self.alpha, size))


def sample_latents(
    denoise: Callable[[Tensor, Tensor, Tensor], Tensor], noise: Tensor, schedule: NoiseSchedule, *, steps: Sequence[int]
) -> Tensor:
    """Denoise with DPM-Solver++ (DRIP Sec. 3.2: 10 steps), each sample in its own number of steps.

    Samples go side by side: the i-th step of all that have one is a single call of `denoise`. Nothing waits for the
    device, and nothing is sent to it between steps.

    Args:
        denoise: `(noisy latents (2b, C, h, w), timesteps (b,), places (b,)) -> prediction (2b, C, h, w)`, for the b
            samples at these places in the batch, domains stacked.
        noise: (2B, C, h, w) starting latents of unit variance, domains stacked.
        schedule: Betas, prediction type and spacing of the steps.
        steps: Steps of each of the B samples, at least 1.

    Returns:
        Clean latents (2B, C, h, w).

    Raises:
        ValueError: if a number of steps is not in [1, T].
    """
    if min(steps) < 1 or max(steps) > schedule.num_train_timesteps:
        raise ValueError(f"steps: expected 1 to {schedule.num_train_timesteps}, got {min(steps)} to {max(steps)}")
    longest_first = sorted(range(len(steps)), key=lambda place: -steps[place])  # those still active are the first
    counts = [steps[place] for place in longest_first]
    solvers = {count: schedule.solver(count) for count in counts}
    groups = {count: slice(counts.index(count), counts.index(count) + counts.count(count)) for count in counts}
    timesteps = torch.zeros(counts[0], len(counts), dtype=torch.long)
    for count, group in groups.items():
        timesteps[:count, group] = solvers[count].timesteps[:, None]
    places, timesteps = to_device(torch.tensor(longest_first), noise.device), to_device(timesteps, noise.device)

    latents = pair_domains(noise)[places]
    for step in range(counts[0]):
        active = sum(count > step for count in counts)
        prediction = denoise(unpair_domains(latents[:active]), timesteps[step, :active], places[:active])
        prediction = pair_domains(prediction).to(latents)
        for count, group in groups.items():
            if count > step:
                solver = solvers[count]
                latents[group] = solver.step(
                    prediction[group], solver.timesteps[step], latents[group], return_dict=False
                )[0]
    return unpair_domains(latents[places.argsort()])


@dataclass(frozen=True)
class MattingPipeline:
    """The trained parts, put together.

    Attributes:
        codec: Frozen VAE.
        joint_unet: The joint-domain denoiser.
        noise: What sampling starts from: the training noise at t = T.
        schedule: How to sample.
        decoder: What makes the result from the sampled latents.
        one_step: Whether the denoiser was taught a single step from pure noise, and no more.
        hints: What the decoder is given beside image and trimap.
        reduction: How many times smaller the denoiser sees the picture, height and width.
    """

    codec: LatentCodec
    joint_unet: JointDenoiser
    noise: NoiseSampler
    schedule: NoiseSchedule
    decoder: LatentDecoder
    one_step: bool = False
    hints: Hints = NoHints()  # noqa: RUF009 - frozen
    reduction: int = 1

    @property
    def size_multiple(self) -> int:
        """The networks want height and width divisible by this; `__call__` pads and crops by itself."""
        latent = self.reduction * self.codec.downsampling
        return math.lcm(latent * self.joint_unet.size_multiple, self.decoder.size_multiple)

    def condition(self, image: Tensor, trimap: Tensor) -> Tensor:
        """Encode image (B, 3, H, W) and trimap (B, 1, H, W), reduced, to the denoiser's condition (B, 2C, h, w)."""
        reduced = reduce_picture(image, self.reduction), reduce_trimap(trimap, self.reduction)
        return torch.cat(self.codec.encode(*reduced), dim=1)

    def starting_noise(self, condition: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw what sampling starts from, (2B, C, h, w), each picture's from its own generator on the CPU."""
        pairs, _, height, width = condition.shape
        shape = (self.codec.channels, height, width)
        noise = self.noise.draw_pairs(shape, strengths=[1.0] * pairs, generators=generators)
        return to_device(noise, condition.device)

    def sample(self, condition: Tensor, *, steps: Sequence[int], generators: Sequence[torch.Generator]) -> Tensor:
        """Sample both domains' latents (2B, C, h, w), domains stacked.

        Args:
            condition: (B, 2C, h, w), see `condition`.
            steps: Denoising steps of each picture.
            generators: One for each picture, on the CPU, so that a picture's result does not depend on its batch.

        Raises:
            InputError: several steps are asked of a denoiser that was taught one.
        """
        if self.one_step and max(steps) > 1:
            raise InputError(
                f"the denoiser was trained for one step (objective OneStep), got {max(steps)}: set the number of steps "
                "(sampling_steps, max_steps, --steps) to 1"
            )
        noise = self.starting_noise(condition, generators)

        def denoise(noisy: Tensor, timesteps: Tensor, places: Tensor) -> Tensor:
            return self.joint_unet(noisy, condition[places], timesteps)

        return sample_latents(denoise, noise, self.schedule, steps=steps)

    def decode(
        self, image: Tensor, trimap: Tensor, latents: Tensor, hints: Tensor, decoders: Sequence[LatentDecoder]
    ) -> tuple[Matte, ...]:
        """Decode latents (2B, C, h, w) by each of the decoders; those that want the VAE's pictures share them.

        Where the trimap is sure, alpha is the trimap's, and F = X where alpha is 1.
        """
        pairs = LatentPairs(self.codec, latents, self.reduction)
        mattes = []
        for decoder in decoders:
            foreground, alpha = decoder.decode(image, trimap, pairs, hints)
            alpha = torch.where(unknown_mask(trimap), alpha.clamp(0, 1), trimap)
            mattes.append(Matte(torch.where(trimap == 1, image, foreground.clamp(0, 1)), alpha))
        return tuple(mattes)

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
        return self.compare(image, trimap, [self.decoder], steps=steps, generators=generators)[0]

    @torch.no_grad()
    def compare(
        self,
        image: Tensor,
        trimap: Tensor,
        decoders: Sequence[LatentDecoder],
        *,
        steps: int = 10,
        generators: Sequence[torch.Generator],
    ) -> tuple[Matte, ...]:
        """As `__call__`, decoding the same sampled latents by each of the decoders, which need no larger multiples."""
        image_padded, size = pad_to_multiple(image, self.size_multiple)
        trimap_padded, _ = pad_to_multiple(trimap, self.size_multiple)
        condition = self.condition(image_padded, trimap_padded)
        latents = self.sample(condition, steps=[steps] * len(image), generators=generators)
        hints, _ = pad_to_multiple(self.hints(image, trimap), self.size_multiple)
        mattes = self.decode(image_padded, trimap_padded, latents, hints, decoders)
        return tuple(matte.crop(size) for matte in mattes)
