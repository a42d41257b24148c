"""Samples by number: training layers, a pure function of (seed, number), and evaluation pictures in order."""

from torch import Tensor
from torch.utils.data import Dataset

from drip_lightning.data.augment import Augmentation, crop_background, crop_foreground
from drip_lightning.data.compose import Layers
from drip_lightning.data.decode import decode_background, decode_evaluation, decode_foreground
from drip_lightning.data.order import ShardOrder
from drip_lightning.data.sample import MattingBatch, check_batch
from drip_lightning.data.shards import ShardFolder
from drip_lightning.ops.randomness import sample_generator
from drip_lightning.ops.trimap import quantise_trimap


class TrainingLayers(Dataset[Layers]):
    """Training samples without end: `samples[number]` for any number from 0 up.

    Foregrounds and backgrounds are each walked through epoch by epoch, in orders of their own.
    """

    def __init__(
        self,
        foregrounds: ShardFolder,
        backgrounds: ShardFolder,
        *,
        augmentation: Augmentation,
        image_size: int,
        seed: int,
    ) -> None:
        """Combine two folders of shards.

        Args:
            foregrounds: Foreground samples.
            backgrounds: Background samples.
            augmentation: Ranges of the random choices.
            image_size: Side of the pictures, in pixels.
            seed: The run's.
        """
        self._foregrounds = foregrounds
        self._backgrounds = backgrounds
        self._augmentation = augmentation
        self._image_size = image_size
        self._seed = seed
        self._foreground_order, self._background_order = (
            ShardOrder([shard.samples for shard in folder.index.shards], seed=seed, purpose=purpose)
            for folder, purpose in ((foregrounds, "foregrounds"), (backgrounds, "backgrounds"))
        )

    def __getitem__(self, number: int) -> Layers:
        choices = self._augmentation.draw(sample_generator(self._seed, number, "augmentation"))
        foreground_sample = self._foregrounds[self._foreground_order.position(number)]
        background_sample = self._backgrounds[self._background_order.position(number)]
        picture = decode_foreground(foreground_sample)
        foreground, alpha = crop_foreground(picture.foreground, picture.alpha, choices, image_size=self._image_size)
        background = crop_background(decode_background(background_sample), choices, image_size=self._image_size)
        return Layers(
            foreground=foreground,
            alpha=alpha,
            background=background,
            foreground_distortion=choices.foreground_distortion,
            background_distortion=choices.background_distortion,
            dilation=choices.dilation,
            erosion=choices.erosion,
            key=f"{foreground_sample['__key__']}+{background_sample['__key__']}",
            number=number,
        )


class EvaluationPictures(Dataset[MattingBatch]):
    """Evaluation samples in the order of their shards, each a batch of one whole picture."""

    def __init__(self, folder: ShardFolder) -> None:
        self._folder = folder

    def __len__(self) -> int:
        return len(self._folder)

    def __getitem__(self, number: int) -> MattingBatch:
        sample = self._folder[number]
        picture = decode_evaluation(sample)
        batch = MattingBatch(
            image=_unit(picture.image),
            alpha=_unit(picture.alpha),
            trimap=quantise_trimap(_unit(picture.trimap)),
            key=[sample["__key__"]],
            number=[number],
        )
        if picture.foreground is not None:
            batch["foreground"] = _unit(picture.foreground)
        return check_batch(batch)


def _unit(picture: Tensor) -> Tensor:
    return picture[None].float() / 255
