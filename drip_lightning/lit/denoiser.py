"""Stage 2: the joint-domain denoiser (DRIP Sec. 3.2)."""

from typing import Self

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from drip_lightning.data.sample import MattingBatch
from drip_lightning.lit.averaging import Averaging, NoAveraging
from drip_lightning.lit.description import choice_to_config
from drip_lightning.lit.matting import MattingStage
from drip_lightning.lit.objectives import Denoising, Objective
from drip_lightning.lit.parameter_groups import ParameterGroups
from drip_lightning.nn.attention import CrossDomainAttention, DomainAttention
from drip_lightning.nn.fine_tuning import AllWeights, FineTuning
from drip_lightning.nn.joint_denoiser import Switcher
from drip_lightning.nn.latents import AlphaDecoding, LatentCodec, VaePrecision
from drip_lightning.nn.noise import AnnealedMultiResolutionNoise, NoiseSampler
from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.nn.pretrained import Networks, StableDiffusion
from drip_lightning.nn.sampler import KnownPixels, MattingSampler
from drip_lightning.nn.switcher import PosEncSwitcher
from drip_lightning.nn.transparency import VaeDecoderModule
from drip_lightning.ops.randomness import sample_generator


class Denoiser(MattingStage):
    """Fine-tunes a latent U-Net to denoise foreground and alpha together, given image and trimap.

    Args:
        networks: Where the U-Net and the frozen VAE come from.
        switcher: How the U-Net is told which domain is which.
        attention: How self-attention treats the two domains.
        noise: What latents are noised with.
        inference_noise: What sampling starts from; none for the training noise at the last timestep.
        noise_schedule: Betas, prediction type and sampling.
        objective: What is minimised.
        fine_tuning: Which of the U-Net's weights are trained.
        alpha_decoding: Whether alpha is the `mean` of the three channels that the VAE decodes it to, or the `first`.
        vae_precision: Whether the frozen VAE runs in the trainer's precision, though never in float16 (`trainer`), or
            in `float32` whatever that is.
        sampling_steps: Denoising steps in validation, test and prediction.
        processing_size: Longest side of what the denoiser sees there; none for every picture's own.
        tile_size: Side of the tiles in which larger pictures are worked on; none for whole pictures.
        memory: Of the whole process at most while a picture is worked on, such as 4GB; none for what is free.
        gradient_checkpointing: Recompute activations in the backward pass: less memory, about a third more time.
        known: What results have where the trimap is sure.
        seed: Decides, with the sample's number, timesteps and noise.
        start_from: Run folder, checkpoint or export of this stage whose weights training starts from, without its
            optimizer and step count; none starts from the networks as they are built.
        averaging: What is kept beside the trained weights, to be used after training.
        optimizer: Makes the optimizer from the trainable parameters.
        parameter_groups: Which of them have another learning rate or weight decay.
        lr_scheduler: Makes the learning-rate schedule, advanced every step; none keeps the rate constant.
    """

    alphas_cumprod: Tensor

    def __init__(
        self,
        networks: Networks = StableDiffusion(),  # noqa: B008 (frozen, as the next)
        switcher: Switcher = PosEncSwitcher(),  # noqa: B008
        attention: DomainAttention = CrossDomainAttention(),  # noqa: B008
        noise: NoiseSampler = AnnealedMultiResolutionNoise(),  # noqa: B008
        inference_noise: NoiseSampler | None = None,
        noise_schedule: NoiseSchedule = NoiseSchedule(),  # noqa: B008
        objective: Objective = Denoising(),  # noqa: B008
        fine_tuning: FineTuning = AllWeights(),  # noqa: B008
        alpha_decoding: AlphaDecoding = "mean",
        vae_precision: VaePrecision = "trainer",
        sampling_steps: int = 10,
        processing_size: int | None = None,
        tile_size: int | None = 512,
        memory: str | None = None,
        gradient_checkpointing: bool = False,
        known: KnownPixels = KnownPixels(),  # noqa: B008
        seed: int = 0,
        start_from: str | None = None,
        averaging: Averaging = NoAveraging(),  # noqa: B008
        optimizer: OptimizerCallable = lambda p: torch.optim.Adam(p, lr=1e-5),
        parameter_groups: tuple[ParameterGroups, ...] = (),
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            sampling_steps=sampling_steps,
            processing_size=processing_size,
            tile_size=tile_size,
            memory=memory,
            known=known,
            seed=seed,
            start_from=start_from,
            averaging=averaging,
            optimizer=optimizer,
            parameter_groups=parameter_groups,
            lr_scheduler=lr_scheduler,
        )
        self.networks = networks
        self.switcher = switcher
        self.attention = attention
        self.noise = noise
        self.inference_noise = inference_noise
        self.noise_schedule = noise_schedule
        self.objective = objective
        self.fine_tuning = fine_tuning
        self.alpha_decoding: AlphaDecoding = alpha_decoding
        self.vae_precision: VaePrecision = vae_precision
        self.gradient_checkpointing = gradient_checkpointing
        self.register_buffer("alphas_cumprod", noise_schedule.alphas_cumprod(), persistent=False)
        objective.check(noise=noise, noise_schedule=noise_schedule, sampling_steps=sampling_steps)

    def build(self, *, pretrained: bool = True) -> None:
        """Load the VAE, and widen the U-Net to both domains and the condition."""
        if pretrained and (base := self.networks.base_schedule()) is not None:
            self.noise_schedule.check_base(base)
        self.codec = LatentCodec(
            self.networks.trained_vae(), alpha_decoding=self.alpha_decoding, precision=self.vae_precision
        )
        unet = self.networks.unet(pretrained=pretrained or self.fine_tuning.keeps_pretrained)
        prompt_embedding = self.networks.prompt_embedding(pretrained=pretrained)
        self.joint_unet = self.switcher.build(unet, prompt_embedding, attention=self.attention)
        self.joint_unet.describe(
            latent_channels=self.codec.channels,
            switcher=choice_to_config(self.switcher),
            attention=choice_to_config(self.attention),
        )
        self.fine_tuning.apply(self.joint_unet)
        if self.gradient_checkpointing:
            for network in (*self.joint_unet.unets, self.codec.vae):
                network.enable_gradient_checkpointing()

    @property
    def reloaded(self) -> tuple[str, ...]:
        """The VAE, and what stayed as pretrained of the U-Net."""
        is_pretrained = self.networks.has_pretrained_unet and self.start_from is None
        return ("codec", "joint_unet") if is_pretrained else ("codec",)

    def take_weights(self, source: Self, *, where: str) -> None:
        """As `Stage.take_weights`, where the schedule is the one that those weights were trained with."""
        self.noise_schedule.check_base(source.noise_schedule.settings())
        super().take_weights(source, where=where)

    @property
    def sampler(self) -> MattingSampler:
        """The denoiser with the plain VAE decoder."""
        return MattingSampler(
            self.codec,
            self.joint_unet,
            self.noise,
            self.noise_schedule,
            VaeDecoderModule(),
            one_step=self.objective.one_step,
            sizes=self.sizes,
            memory=self.memory_bound,
            inference_noise=self.inference_noise,
            known=self.known,
        )

    def training_step(self, batch: MattingBatch, batch_index: int) -> Tensor:
        """Take the objective's loss (`Denoising` is DRIP Eq. 5); timesteps and noise are drawn from sample numbers."""
        generators = [sample_generator(self.seed, number, "diffusion") for number in batch["number"]]
        loss = self.objective(self.sampler, batch, alphas_cumprod=self.alphas_cumprod, generators=generators)
        self.log_losses(loss.total, loss.terms)
        return loss.total
