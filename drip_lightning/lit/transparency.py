"""Stage 3: the latent transparency decoder (DRIP Sec. 3.3)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from drip_lightning.data.mixture import shard_digests
from drip_lightning.data.sample import MattingBatch
from drip_lightning.errors import InputError
from drip_lightning.lit.averaging import Averaging, NoAveraging
from drip_lightning.lit.datamodule import MattingDataModule
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.latent_source import LatentSource, LiveLatents
from drip_lightning.lit.matting import MattingStage
from drip_lightning.lit.parameter_groups import ParameterGroups
from drip_lightning.lit.resume.checkpoint_io import best_folder, checkpoints_in
from drip_lightning.moved import MissingSource
from drip_lightning.nn.digest import weights_digest
from drip_lightning.nn.export_index import is_exported
from drip_lightning.nn.latents import LatentPairs
from drip_lightning.nn.losses import MattingLoss
from drip_lightning.nn.pretrained import Networks, StableDiffusion
from drip_lightning.nn.sampler import KnownPixels, MattingSampler
from drip_lightning.nn.transparency import DecoderChoice, UNetDecoder
from drip_lightning.ops.hints.choice import Hints, NoHints
from drip_lightning.ops.randomness import sample_generator


class TransparencyDecoder(MattingStage):
    """Trains the decoder that mends what the VAE lost, on what a frozen denoiser makes.

    Args:
        denoiser: Run folder, checkpoint or export of the denoiser stage, or `USER/NAME@REVISION` of one on the Hub;
            frozen, it brings VAE, noise and schedule.
        networks: Sizes of the decoder.
        decoder: The decoder to train.
        hints: Classical guesses that the decoder is given beside image and trimap.
        reduction: How many times smaller the denoiser sees the picture, height and width; 1 is the paper's.
        latents: Whether training latents are sampled live or read from shards.
        loss: Weights of the matting loss's terms (DRIP App. A.3).
        max_steps: Each training sample's latents come from a random number of denoising steps, 1 to this.
        sampling_steps: Denoising steps in validation, test and prediction.
        gradient_checkpointing: Recompute the decoder's activations in the backward pass: less memory, more time.
        processing_size: Longest side of what the denoiser sees there; none for every picture's own.
        tile_size: Side of the tiles in which larger pictures are worked on; none for whole pictures.
        memory: Of the whole process at most while a picture is worked on, such as 4GB; none for what is free.
        known: What results have where the trimap is sure.
        seed: Decides, with the sample's number, steps and noise.
        start_from: Run folder, checkpoint or export of this stage whose weights training starts from, without its
            optimizer and step count; none starts from the networks as they are built.
        averaging: What is kept beside the trained weights, to be used after training.
        optimizer: Makes the optimizer from the trainable parameters.
        parameter_groups: Which of them have another learning rate or weight decay.
        lr_scheduler: Makes the learning-rate schedule, advanced every step; none keeps the rate constant.
    """

    def __init__(
        self,
        denoiser: str = "runs/denoiser",
        networks: Networks = StableDiffusion(),  # noqa: B008 (frozen, as the next)
        decoder: DecoderChoice = UNetDecoder(),  # noqa: B008
        hints: Hints = NoHints(),  # noqa: B008
        reduction: int = 1,
        latents: LatentSource = LiveLatents(),  # noqa: B008
        loss: MattingLoss | None = None,
        max_steps: int = 10,
        sampling_steps: int = 10,
        gradient_checkpointing: bool = False,
        processing_size: int | None = None,
        tile_size: int | None = 512,
        memory: str | None = None,
        known: KnownPixels = KnownPixels(),  # noqa: B008
        seed: int = 0,
        start_from: str | None = None,
        averaging: Averaging = NoAveraging(),  # noqa: B008
        optimizer: OptimizerCallable = lambda p: torch.optim.Adam(p, lr=1e-4),
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
        if max_steps < 1:
            raise InputError(f"max_steps: expected at least 1, got {max_steps}")
        if reduction < 1:
            raise InputError(f"reduction: expected at least 1, got {reduction}")
        if hints.guesses and not decoder.takes_hints:
            raise InputError(
                f"hints {type(hints).__name__} do not reach the decoder {type(decoder).__name__}: choose NoHints, or a "
                "decoder that takes them, such as HalfSizeUNetDecoder"
            )
        self.denoiser = denoiser
        self.networks = networks
        self.decoder = decoder
        self.hints = hints
        self.reduction = reduction
        self.latents = latents
        self.loss = loss or MattingLoss()
        self.max_steps = max_steps
        self.gradient_checkpointing = gradient_checkpointing

    def build(self, *, pretrained: bool = True) -> None:
        """Load the frozen denoiser, and make the decoder to its measures."""
        if not Path(self.denoiser).exists() and "@" not in self.denoiser:
            remedy = "train the denoiser first, and name its run with --model.denoiser"
            raise MissingSource(f"no checkpoint at {self.denoiser}", source=self.denoiser, remedy=remedy)
        self._take_denoiser(Denoiser.from_checkpoint(self.denoiser, moved=self.moved))

    def build_without_weights(self) -> None:
        """As in `Stage`; where no denoiser is trained yet, one as the defaults have it on these networks is assumed."""
        place = Path(self.denoiser)
        is_begun = place.is_dir() and not is_exported(place)
        if "@" in self.denoiser or (checkpoints_in(best_folder(place) or place) if is_begun else place.exists()):
            denoiser = Denoiser.described(self.denoiser, moved=self.moved)
        else:
            denoiser = Denoiser(self.networks)
        denoiser.build_without_weights()
        with init_empty_weights():
            self._take_denoiser(denoiser.requires_grad_(False).eval())
        self._built = True

    def _take_denoiser(self, denoiser: Denoiser) -> None:
        self.denoiser_description = denoiser.describe()
        self.codec, self.joint_unet = denoiser.codec, denoiser.joint_unet
        self.denoiser_sampler = denoiser.sampler
        self.latent_decoder = self.decoder.build(self.codec, self.networks, self.hints)
        self.latent_decoder.gradient_checkpointing = self.gradient_checkpointing

    @property
    def reloaded(self) -> tuple[str, ...]:
        """The whole denoiser, which is frozen."""
        return ("codec", "joint_unet")

    @property
    def sampler(self) -> MattingSampler:
        """Denoiser and decoder together."""
        return replace(
            self.denoiser_sampler,
            decoder=self.latent_decoder,
            hints=self.hints,
            reduction=self.reduction,
            sizes=self.sizes,
            memory=self.memory_bound,
            known=self.known,
        )

    def training_step(self, batch: MattingBatch, batch_index: int) -> Tensor:
        """Mend the denoiser's foreground and alpha (DRIP Eq. 6, App. A.3)."""
        latents = self.latents(
            batch,
            sample=self.sample_latents,
            facts=lambda: self.latent_facts(self.trainer.datamodule),  # type: ignore[attr-defined]
        )
        pairs = LatentPairs(self.codec, latents, self.reduction)
        foreground, alpha = self.latent_decoder.decode(batch["image"], batch["trimap"], pairs, self.hints_of(batch))
        loss = self.loss(
            foreground=foreground,
            alpha=alpha,
            true_foreground=batch["foreground"],
            true_alpha=batch["alpha"],
            trimap=batch["trimap"],
        )
        self.log_losses(loss.total, loss.terms)
        return loss.total

    def hints_of(self, batch: MattingBatch) -> Tensor:
        """The hints of a batch (B, 7 · guesses, H, W): as the data worker made them, or made now."""
        return batch["hints"] if "hints" in batch else self.hints(batch["image"], batch["trimap"])

    @torch.no_grad()
    def sample_latents(self, batch: MattingBatch) -> Tensor:
        """Denoise each sample in its own random number of steps (DRIP Sec. 3.3): (2B, C, h, w), domains stacked."""
        sampler = self.sampler
        condition = sampler.condition(batch["image"], batch["trimap"])
        generators = [sample_generator(self.seed, number, "transparency") for number in batch["number"]]
        steps = [int(torch.randint(1, self.max_steps + 1, (), generator=generator)) for generator in generators]
        return sampler.sample(condition, steps=steps, generators=generators)

    def latent_facts(self, data: MattingDataModule) -> dict[str, Any]:
        """Everything that decides a training sample's latents but its number, as JSON holds it.

        Args:
            data: What the samples are drawn from.
        """
        return {
            "denoiser": weights_digest(self.joint_unet),
            "autoencoder": weights_digest(self.codec),
            "noise": repr(self.denoiser_sampler.inference_noise or self.denoiser_sampler.noise),
            "schedule": repr(self.denoiser_sampler.schedule),
            "reduction": self.reduction,
            "max_steps": self.max_steps,
            "seed": self.seed,
            "data seed": data.seed,
            "image_size": data.image_size,
            "augmentation": repr(data.augmentation),
            "foreground_padding": data.foreground_padding,
            "foregrounds": shard_digests(data.foregrounds),
            "backgrounds": shard_digests(data.backgrounds),
        }
