"""Shards to batches for every stage: which sample, on which rank, after which resume."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal, cast

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader

from drip_lightning.data.augment import Augmentation
from drip_lightning.data.cache import LocalCache, default_cache_folder
from drip_lightning.data.compose import (
    Composer,
    CompositeBatch,
    ForegroundPadding,
    LayerBatch,
    Layers,
    as_batch,
    stack_layers,
)
from drip_lightning.data.damage import DamageLedger
from drip_lightning.data.datasets import EvaluationPictures, TrainingLayers
from drip_lightning.data.evaluation_sets import EvaluationSets, sets_by_name
from drip_lightning.data.mixture import Folders, ShardMixture
from drip_lightning.data.order import BatchNumbers
from drip_lightning.data.sample import MattingBatch
from drip_lightning.data.shards.reader import ShardFolder
from drip_lightning.errors import InputError
from drip_lightning.lit.loaders import EndlessLoader, EvaluationLoader, compose_in_worker
from drip_lightning.lit.resume.signals import ignore_stop_signals
from drip_lightning.ops.hints.choice import Hints, NoHints


class MattingDataModule(LightningDataModule):
    """Composites made on the fly from folders of shards, and whole pictures to evaluate on.

    Training sample i is a function of `seed` and i alone, whatever the number of workers and ranks, and a resumed run
    continues with the samples that come next, on the same number of workers and ranks or another, even with another
    batch size. Training never runs out of samples: `trainer.max_steps` ends it.
    """

    def __init__(
        self,
        foregrounds: Folders,
        backgrounds: Folders,
        evaluation: EvaluationSets | None = None,
        image_size: int = 512,
        batch_size: int = 8,
        num_workers: int = 2,
        seed: int = 0,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        foreground_padding: ForegroundPadding = "push_pull",
        compose_on: Literal["device", "worker"] = "worker",
        cache_bytes: int = 1 << 36,
        cache_folder: str | None = None,
        damaged_share: float = 0.01,
    ) -> None:
        """Describe the data; nothing is opened before `setup`.

        Args:
            foregrounds: Folder (or URL) of foreground shards, or several as a mapping from folder to weight: its part
                of the training samples, relative to the others'.
            backgrounds: The same of background shards.
            evaluation: Folder (or URL) of evaluation shards, for validation and test, one whole picture a batch, or
                several as a mapping from a name, under which a set's scores are logged, to its folder; none
                by default.
            image_size: Side of the training pictures, in pixels.
            batch_size: Training samples in a step of the optimizer, shared evenly by all ranks and their accumulated
                batches; so hardware changes no training.
            num_workers: Processes that read and crop, per rank; 0 does it in the training process.
            seed: Decides order, pairing and augmentation of the training samples.
            augmentation: Ranges of the random choices made for each training sample.
            foreground_padding: Fill of the foreground where alpha is 0: a pyramid (`push_pull`), DRIP Alg. 2 from black
                (`blur`) or from the colours that the file has there (`hidden_blur`; `drip prepare --hidden-colours`),
                `blur` divided by the equally blurred mask (`normalised_blur`), or `none`.
            compose_on: Where layers become composites: on the training `device`, or in the `worker`, which saves the
                device's time. Both make the same values.
            cache_bytes: Bound on the local disk cache of decoded pictures and remote shards, which all
                processes of a machine share; 0 for none. A twentieth of the disk always stays free.
            cache_folder: Where that cache is; by default `$DRIP_CACHE`, or `drip_lightning` in the user's cache
                folder. It can be deleted at any time.
            damaged_share: Part of the foregrounds, and of the backgrounds, that may turn out to be damaged, and is
                replaced, before training stops. A single one always may.
        """
        super().__init__()
        if image_size < 1 or batch_size < 1:
            raise InputError(f"image_size and batch_size: expected at least 1, got {image_size} and {batch_size}")
        if num_workers < 0:
            raise InputError(f"num_workers: expected 0 or more, got {num_workers}")
        if seed < 0:
            raise InputError(f"seed: expected 0 or more, got {seed}")
        self.foregrounds = foregrounds
        self.backgrounds = backgrounds
        self.evaluation = evaluation
        self.image_size = image_size
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.augmentation = augmentation
        self.compose_on = compose_on
        if not 0 <= damaged_share <= 1:
            raise InputError(f"damaged_share: expected 0 to 1, got {damaged_share}")
        self.damaged_share = damaged_share
        self._cache = LocalCache(Path(cache_folder or default_cache_folder()), cache_bytes)
        self.foreground_padding = foreground_padding
        self._composer = Composer(foreground_padding, augmentation.trimap_structuring_element)
        self._damage = DamageLedger({}, allowed_share=damaged_share)
        self._training: TrainingLayers | None = None
        self._evaluation: dict[str, EvaluationPictures] = {}
        self._loaders: list[EndlessLoader | EvaluationLoader] = []
        self._resumed_step, self._resumed_number = 0, 0

    def setup(self, stage: str) -> None:
        """Open the folders that the stage ("fit", "validate", "test", "predict") needs.

        Raises:
            InputError: a folder is missing or incomplete, or the stage needs an evaluation folder and none is set.
        """
        if stage == "fit":
            mixtures = [ShardMixture(folders, cache=self._cache) for folders in (self.foregrounds, self.backgrounds)]
            self._training = TrainingLayers(
                *mixtures,
                augmentation=self.augmentation,
                image_size=self.image_size,
                seed=self.seed,
                cache=self._cache,
                hidden_colours=self.foreground_padding == "hidden_blur",
            )
            samples = dict(zip(("foregrounds", "backgrounds"), map(len, mixtures), strict=True))
            self._damage = DamageLedger(samples, allowed_share=self.damaged_share)
        if self.evaluation is not None:
            self._evaluation = {
                name: EvaluationPictures(ShardFolder(folder, cache=self._cache))
                for name, folder in sets_by_name(self.evaluation).items()
            }
        elif stage in ("validate", "test", "predict"):
            raise InputError(f"data.evaluation is not set, and there is nothing else to {TrainerFn(stage).value} on")

    @property
    def evaluation_names(self) -> tuple[str, ...]:
        """Names of the evaluation sets, in the order of their loaders; that of a single folder is empty."""
        return tuple(self._evaluation)

    @property
    def next_number(self) -> int:
        """Number of the training sample that comes next: those before it are in the weights, the others are not."""
        steps = 0 if self.trainer is None else self.trainer.global_step - self._resumed_step
        return self._resumed_number + steps * self.batch_size

    def state_dict(self) -> dict[str, int]:
        """Where the run is in the data, in samples, as a checkpoint holds it."""
        assert self.trainer is not None
        return {"step": self.trainer.global_step, "number": self.next_number}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Resume from `state_dict`."""
        self._resumed_step, self._resumed_number = state_dict["step"], state_dict["number"]

    def samples(self, numbers: Sequence[int]) -> MattingBatch:
        """Training samples by their numbers, as a run was or will be given them, however it was or will be run.

        Raises:
            InputError: a folder is missing, or too much in it is damaged.
        """
        if self._training is None:
            self.setup("fit")
        assert self._training is not None
        return self.on_after_batch_transfer(stack_layers([self._training[number] for number in numbers]), 0)

    def train_dataloader(self) -> EndlessLoader:
        """Training batches, from where the run is; without a trainer as for one process, from the first.

        As in every data module, `on_after_batch_transfer` makes of each what a stage is given.

        Raises:
            InputError: the ranks cannot share `batch_size` evenly, or as `setup`.
        """
        if self._training is None:
            self.setup("fit")
        training, (rank, ranks) = self._training, self._rank
        assert training is not None
        accumulated = 1 if self.trainer is None else self.trainer.accumulate_grad_batches
        self._check_accumulation()
        if self.batch_size % (ranks * accumulated):
            raise InputError(
                f"data.batch_size: {self.batch_size} samples a step cannot be shared evenly by {ranks} ranks with "
                f"trainer.accumulate_grad_batches={accumulated}; take a multiple of {ranks * accumulated}"
            )

        def loader() -> DataLoader[Layers]:
            numbers = BatchNumbers(
                batch_size=self.batch_size // (ranks * accumulated),
                rank=rank,
                world_size=ranks,
                first_number=self.next_number,
                period=self._overfit_samples,
            )
            return DataLoader(
                training,
                batch_sampler=numbers,
                num_workers=self.num_workers,
                collate_fn=partial(compose_in_worker, self._composer, self._hints)
                if self.compose_on == "worker"
                else stack_layers,
                pin_memory=torch.cuda.is_available(),
                worker_init_fn=ignore_stop_signals,
            )

        endless = EndlessLoader(loader)
        self._loaders.append(endless)
        return endless

    def val_dataloader(self) -> DataLoader[MattingBatch] | list[DataLoader[MattingBatch]]:
        """Every evaluation picture once, in order, a batch each; a list of such loaders of sets by name, or of none."""
        loaders = {name: self._evaluation_loader(pictures, name) for name, pictures in self._evaluation.items()}
        return loaders[""] if "" in loaders else list(loaders.values())

    test_dataloader = predict_dataloader = val_dataloader

    def on_exception(self, exception: BaseException) -> None:
        """End all workers.

        Workers ignore SIGTERM and the traceback keeps their iterators referenced, so that the interpreter's exit would
        block joining them. Lightning itself ends only those of the loop that failed.
        """
        CombinedLoader(self._loaders).reset()

    def on_after_batch_transfer(
        self, batch: LayerBatch | CompositeBatch | MattingBatch, dataloader_idx: int
    ) -> MattingBatch:
        """Compose what comes as layers, make floats of 8-bit values; evaluation pictures pass as they are.

        Raises:
            InputError: too much of the training data is damaged.
        """
        if "damage" not in batch:
            return batch
        self._damage.add(cast(LayerBatch | CompositeBatch, batch)["damage"])
        return as_batch(cast(CompositeBatch, batch)) if "image" in batch else self._composer(batch)

    @property
    def _rank(self) -> tuple[int, int]:
        """This process's, and how many there are."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _check_accumulation(self) -> None:
        callbacks = [] if self.trainer is None else self.trainer.callbacks  # type: ignore[attr-defined]
        if any(isinstance(one, GradientAccumulationScheduler) for one in callbacks):
            raise InputError(
                "trainer.callbacks: with GradientAccumulationScheduler no step would have data.batch_size samples; set "
                "trainer.accumulate_grad_batches, which shares them out"
            )

    @property
    def _overfit_samples(self) -> int | None:
        """Samples in the batches to overfit; nothing where training has no end of them.

        Raises:
            InputError: a part of an endless stream is asked for, or half a step.
        """
        if self.trainer is None or not self.trainer.overfit_batches:  # type: ignore[attr-defined]
            return None
        batches, accumulated = self.trainer.overfit_batches, self.trainer.accumulate_grad_batches  # type: ignore[attr-defined]
        if not isinstance(batches, int) or batches % accumulated:
            whole = (
                "a number of batches" if accumulated == 1 else f"a multiple of accumulate_grad_batches {accumulated}"
            )
            raise InputError(f"trainer.overfit_batches: expected {whole}, got {batches}: training samples have no end")
        return batches // accumulated * self.batch_size

    @property
    def _hints(self) -> Hints:
        """What the stage in training wants of the worker, which has the time."""
        return getattr(getattr(self.trainer, "lightning_module", None), "hints", NoHints())

    def _evaluation_loader(self, pictures: EvaluationPictures, name: str) -> DataLoader[MattingBatch]:
        rank, world_size = self._rank
        if len(pictures) < world_size:
            folder = sets_by_name(self.evaluation or "")[name]
            raise InputError(f"{folder} has {len(pictures)} pictures, too few for {world_size} ranks")
        # Lightning leaves a sampler of this kind alone; its own choice would repeat pictures to even out the ranks.
        own = UnrepeatedDistributedSampler(pictures, num_replicas=world_size, rank=rank, shuffle=False)
        loader = EvaluationLoader(
            pictures,
            batch_size=None,
            sampler=own,
            num_workers=self.num_workers,
            worker_init_fn=ignore_stop_signals,
        )
        self._loaders.append(loader)
        return loader
