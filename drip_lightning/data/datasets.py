"""Samples by number: training layers, a pure function of (seed, number), and evaluation pictures in order."""

from itertools import count

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from drip_lightning.data.augment import Augmentation
from drip_lightning.data.cache import LocalCache
from drip_lightning.data.compose import Layers
from drip_lightning.data.damage import Damage
from drip_lightning.data.decode import decode_background, decode_evaluation, decode_foreground, kind_of
from drip_lightning.data.decoded import Decode, DecodedPictures, Picture
from drip_lightning.data.mixture import MixtureOrder, ShardMixture
from drip_lightning.data.order import ShardOrder
from drip_lightning.data.placement import Placement
from drip_lightning.data.sample import MattingBatch, check_batch
from drip_lightning.data.shards.reader import ShardFolder
from drip_lightning.data.warp import crop_background, crop_foreground, lay_over, opaque
from drip_lightning.errors import InputError
from drip_lightning.ops.randomness import sample_generator
from drip_lightning.ops.trimap import quantise_trimap

_RECENT = 64
"""How many numbers back a second foreground is taken from: its shard is at hand, its picture probably decoded."""
_REPLACEMENTS = 16


class TrainingLayers(Dataset[Layers]):
    """Training samples without end: `samples[number]` for any number from 0 up.

    Each folder of foregrounds or backgrounds is walked through epoch by epoch, in an order of its own. A damaged
    picture is replaced by another one of its folder, which depends on the seed and the number too.
    """

    def __init__(
        self,
        foregrounds: ShardMixture,
        backgrounds: ShardMixture,
        *,
        augmentation: Augmentation,
        image_size: int,
        seed: int,
        cache: LocalCache | None = None,
        hidden_colours: bool = False,
    ) -> None:
        """Combine foregrounds and backgrounds.

        Args:
            foregrounds: Foreground samples.
            backgrounds: Background samples.
            augmentation: Ranges of the random choices.
            image_size: Side of the pictures, in pixels.
            seed: The run's.
            cache: Where decoded pictures are kept; by default the user's.
            hidden_colours: Whether foregrounds have the file's colours where alpha is 0, those of the first of two.
        """
        cache = cache or LocalCache()
        self._foregrounds = _Walk(
            foregrounds,
            decode_foreground,
            cache,
            seed=seed,
            purpose="foregrounds",
            reads_kinds=augmentation.asks_for_kinds,
        )
        self._backgrounds = _Walk(backgrounds, decode_background, cache, seed=seed, purpose="backgrounds")
        self._augmentation = augmentation
        self._image_size = image_size
        self._seed = seed
        self._hidden_colours = hidden_colours

    def __getitem__(self, number: int) -> Layers:
        choices = self._augmentation.draw(self._seed, number)
        size, damage = self._image_size, list[Damage]()
        key, rgba, shown = self._foreground(number, number, "foreground", choices.foreground, damage)
        if choices.second_foreground is not None:
            recent = number - 1 - int(choices.second_foreground * min(number, _RECENT)) if number else 1
            placement = choices.second_placement
            second_key, second, _ = self._foreground(number, recent, "second foreground", placement, damage)
            rgba = lay_over(rgba, second)
            key += f"+{second_key}"
        if self._hidden_colours:
            hidden = crop_foreground(opaque(shown.levels), shown.centres, choices.foreground, size)
            rgba[:3] = np.where(rgba[3:] == 0, hidden[:3], rgba[:3])
        background_key, picture, _ = self._backgrounds.at(number, damage)
        return Layers(
            foreground=torch.from_numpy(rgba[:3]),
            alpha=torch.from_numpy(rgba[3:]),
            background=torch.from_numpy(crop_background(picture.levels, choices.background, size)),
            choices=choices,
            key=f"{key}+{background_key}",
            number=number,
            damage=tuple(damage),
        )

    def _foreground(
        self, number: int, step: int, which: str, placement: Placement, damage: list[Damage]
    ) -> tuple[str, np.ndarray, Picture]:
        """Key, degraded crop, (4, S, S), and the picture, at a step of the walk, as one of a sample's foregrounds."""
        key, picture, kind = self._foregrounds.at(step, damage)
        rgba = crop_foreground(picture.levels, picture.centres, placement, self._image_size)
        for change in self._augmentation.foreground_changes(self._seed, number, kind=kind, which=which):
            rgba = change(rgba)
        return key, rgba, picture


class _Walk:
    """The pictures of a mixture in the order of a run."""

    def __init__(
        self,
        mixture: ShardMixture,
        decode: Decode,
        cache: LocalCache,
        *,
        seed: int,
        purpose: str,
        reads_kinds: bool = False,
    ) -> None:
        self._reads_kinds, self._kinds = reads_kinds, dict[tuple[int, int], str]()
        self._starts = mixture.starts
        self._pictures = [DecodedPictures(folder, decode, cache) for folder in mixture.folders]
        self._seed = seed
        self._purpose = purpose
        self._mixture = MixtureOrder(mixture.shares, seed=seed, purpose=purpose)
        self._orders = [
            ShardOrder(
                [shard.samples for shard in folder.index.shards],
                seed=seed,
                purpose=purpose if len(mixture.folders) == 1 else f"{purpose} {place}",
            )
            for place, folder in enumerate(mixture.folders)
        ]

    def at(self, number: int, damage: list[Damage]) -> tuple[str, Picture, str]:
        """Key, picture and kind of sample `number`; damaged pictures are replaced, and added to `damage`."""
        which, step = self._mixture.place(number)
        pictures, position = self._pictures[which], self._orders[which].position(step)
        for attempt in count(1):
            try:
                picture, kind = pictures[position], self._kind(which, position)
                return pictures.folder.key(position), picture, kind
            except InputError as error:
                if attempt > _REPLACEMENTS:
                    raise
                damage.append(Damage(self._purpose, self._starts[which] + position, str(error)))
                chance = sample_generator(self._seed, number, f"replacement {attempt} of {self._purpose}")
                position = int(torch.randint(len(pictures.folder), (), generator=chance))
        raise AssertionError

    def _kind(self, which: int, position: int) -> str:
        """What the sample's JSON calls it, read once; nothing where nobody asks."""
        if not self._reads_kinds:
            return ""
        if (which, position) not in self._kinds:
            self._kinds[which, position] = kind_of(self._pictures[which].folder[position])
        return self._kinds[which, position]


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
