"""What the denoiser and the transparency stage share: they predict mattes, and are scored by them."""

from abc import abstractmethod
from dataclasses import asdict
from typing import Any

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable

from drip_lightning.data.sample import MattingBatch
from drip_lightning.errors import InputError, raised_as
from drip_lightning.lit.averaging import Averaging
from drip_lightning.lit.callbacks.progress import parts_told
from drip_lightning.lit.description import choice_to_config
from drip_lightning.lit.parameter_groups import ParameterGroups
from drip_lightning.lit.scores import MatteScores, OfEachSet, validation_prefix
from drip_lightning.lit.stage import Stage
from drip_lightning.memory import parse_bytes
from drip_lightning.nn.memory_bound import MemoryBound
from drip_lightning.nn.sampler import KnownPixels, Matte, MattingSampler, Progress, no_progress
from drip_lightning.nn.transparency import VaeDecoderModule
from drip_lightning.ops.randomness import sample_generator
from drip_lightning.ops.sizes import Sizes
from drip_lightning.pipeline import MattingPipeline


class MattingStage(Stage):
    """A stage whose networks make mattes.

    Args:
        sampling_steps: Denoising steps in validation, test and prediction.
        processing_size: Longest side of what the denoiser sees there; none for every picture's own.
        tile_size: Side of the tiles in which larger pictures are worked on; none for whole pictures.
        memory: Of the whole process at most while a picture is worked on, such as 4GB; none for what is free.
        known: What results have where the trimap is sure.
        seed: Decides, with the sample's number, every random draw.
        start_from: Run folder, checkpoint or export of the same stage whose weights training starts from.
        averaging: What is kept beside the trained weights, to be used after training.
        optimizer: Makes the optimizer from the trainable parameters.
        parameter_groups: Which of them have another learning rate or weight decay.
        lr_scheduler: Makes the learning-rate schedule, advanced every step; none keeps the rate constant.
    """

    def __init__(
        self,
        *,
        sampling_steps: int,
        processing_size: int | None,
        tile_size: int | None,
        memory: str | None = None,
        known: KnownPixels,
        seed: int,
        start_from: str | None = None,
        averaging: Averaging,
        optimizer: OptimizerCallable,
        parameter_groups: tuple[ParameterGroups, ...] = (),
        lr_scheduler: LRSchedulerCallable | None,
    ) -> None:
        super().__init__(
            start_from=start_from,
            averaging=averaging,
            optimizer=optimizer,
            parameter_groups=parameter_groups,
            lr_scheduler=lr_scheduler,
        )
        if sampling_steps < 1:
            raise InputError(f"sampling_steps: expected at least 1, got {sampling_steps}")
        self.sampling_steps = sampling_steps
        self.processing_size = processing_size
        self.tile_size = tile_size
        self.memory = memory
        _ = self.memory_bound  # refuses what is no size
        self.known = known
        self.seed = seed
        self.scores = OfEachSet(MatteScores)

    @property
    def sizes(self) -> Sizes:
        """How pictures of any size are worked on."""
        return Sizes(self.processing_size, self.tile_size)

    @property
    def memory_bound(self) -> MemoryBound:
        """What a picture may take.

        Raises:
            InputError: `memory` is no size.
        """
        with raised_as(InputError, ValueError, message="memory: {}".format):
            return MemoryBound(None if self.memory is None else parse_bytes(self.memory))

    @property
    @abstractmethod
    def sampler(self) -> MattingSampler:
        """The stage's networks, ready to matte."""

    @property
    def pipeline(self) -> MattingPipeline:
        """The same networks as a pipeline of diffusers, as `MattingPipeline.from_pretrained` makes it of an export."""
        sampler = self.sampler
        return MattingPipeline(
            vae=sampler.codec.vae,
            unet=sampler.joint_unet,
            scheduler=sampler.schedule.solver_for(self.sampling_steps),
            transparency_decoder=None if isinstance(sampler.decoder, VaeDecoderModule) else sampler.decoder,
            noise=choice_to_config(sampler.inference_noise or sampler.noise),
            noise_schedule=None if sampler.schedule.is_usual else choice_to_config(sampler.schedule),
            hints=choice_to_config(sampler.hints) if sampler.hints.guesses else None,
            reduction=sampler.reduction,
            one_step=sampler.one_step,
            alpha_decoding=sampler.codec.alpha_decoding,
            vae_precision=sampler.codec.precision,
            known=asdict(sampler.known),
            default_denoising_steps=self.sampling_steps,
            default_processing_size=self.processing_size,
            default_tile_size=self.tile_size,
        )

    def matte(self, batch: MattingBatch, sampler: MattingSampler, *, progress: Progress = no_progress) -> Matte:
        """Matte a batch; a sample's noise depends on its number and the seed alone."""
        generators = [sample_generator(self.seed, number, "sampling") for number in batch["number"]]
        return sampler(
            batch["image"],
            batch["trimap"],
            steps=self.sampling_steps,
            generators=generators,
            progress=progress,
        )

    def validation_step(self, batch: MattingBatch, batch_index: int, dataloader_idx: int = 0) -> Matte:  # type: ignore[override]
        """Score the stage's mattes; the panels are drawn from what is returned."""
        matte = self.matte(batch, self.sampler, progress=parts_told(self.trainer))
        self.scores.of(dataloader_idx, self.device).update(matte, batch)
        return matte

    def on_validation_epoch_end(self) -> None:
        """Log each evaluation set's scores under names that say their region."""
        for number, own in enumerate(self.scores.take()):
            prefix, scores = validation_prefix(self.trainer, number), own.compute()
            self.log_dict({f"{prefix}/{name}": score for name, score in scores.items()})
            self.log(f"{prefix}/sad", scores["alpha_sad_unknown"], prog_bar=True, logger=False)

    def predict_step(self, batch: MattingBatch, batch_index: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Matte a batch: `key`, `foreground` and `alpha`, as Lightning collects them."""
        matte = self.matte(batch, self.sampler, progress=parts_told(self.trainer))
        return {"key": batch["key"], "foreground": matte.foreground, "alpha": matte.alpha}
