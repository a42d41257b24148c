import json
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from drip_lightning.data.augment import Augmentation
from drip_lightning.data.cache import LocalCache
from drip_lightning.data.compose import Composer, CompositeBatch, stack_layers
from drip_lightning.data.datasets import TrainingLayers
from drip_lightning.data.mixture import Folders, ShardMixture
from drip_lightning.data.order import BatchNumbers
from drip_lightning.data.shards.index import INDEX_NAME
from tests.shards import background_shards, disc_rgba, foreground_shards, picture_bytes, write_shards

PICTURES = ("image", "alpha", "trimap", "foreground", "background")


def _training(folder: Path, cache: LocalCache, seed: int = 0, foregrounds: Folders | None = None) -> TrainingLayers:
    mixtures = [ShardMixture(foregrounds or f"{folder}/foregrounds"), ShardMixture(f"{folder}/backgrounds")]
    augmentation = Augmentation(second_foreground_probability=0.5)
    return TrainingLayers(*mixtures, augmentation=augmentation, image_size=24, seed=seed, cache=cache)


def _compose(samples: list) -> CompositeBatch:
    return Composer().compose(stack_layers(samples))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven foregrounds in three shards, five backgrounds in one: fewer than workers."""
    folder = tmp_path_factory.mktemp("corpus")
    foreground_shards(folder / "foregrounds")
    background_shards(folder / "backgrounds")
    return folder


def _numbers(
    corpus: Path, cache: LocalCache, *, workers: int, ranks: int, foregrounds: Folders | None = None
) -> dict[int, dict[str, torch.Tensor]]:
    """The first 64 samples as `ranks` processes would take them, each with its loader."""
    found = {}
    for rank in range(ranks):
        training = _training(corpus, cache, foregrounds=foregrounds)
        numbers = list(islice(BatchNumbers(batch_size=4, rank=rank, world_size=ranks), 16 // ranks))
        loader = DataLoader(training, batch_sampler=numbers, num_workers=workers, collate_fn=_compose)  # type: ignore[arg-type]
        for batch in loader:
            for place, number in enumerate(batch["number"]):
                found[number] = {name: batch[name][place] for name in PICTURES} | {"key": batch["key"][place]}
    return found


def test_the_same_64_numbers_on_any_workers_and_ranks_are_equal_bit_for_bit(corpus: Path, tmp_path: Path) -> None:
    cache = LocalCache(tmp_path / "cache")
    first = _numbers(corpus, LocalCache(tmp_path / "none", 0), workers=0, ranks=1)
    assert sorted(first) == list(range(64))
    for workers, ranks in ((0, 2), (1, 1), (3, 1), (1, 2), (3, 2)):
        other = _numbers(corpus, cache, workers=workers, ranks=ranks)
        assert sorted(other) == list(range(64))
        for number, sample in first.items():
            assert sample["key"] == other[number]["key"]
            assert all(torch.equal(sample[name], other[number][name]) for name in PICTURES)


def test_another_seed_gives_other_samples(corpus: Path, tmp_path: Path) -> None:
    cache = LocalCache(tmp_path)
    first, second = (_training(corpus, cache, seed)[0] for seed in (0, 1))
    assert not torch.equal(first.background, second.background)


def test_each_epoch_visits_each_picture_once(corpus: Path, tmp_path: Path) -> None:
    training = _training(corpus, LocalCache(tmp_path))
    keys = [training[number].key.split("+") for number in range(70)]
    for start in range(0, 70, 7):
        assert len({key[0] for key in keys[start : start + 7]}) == 7
    for start in range(0, 70, 5):
        assert len({key[-1] for key in keys[start : start + 5]}) == 5
    partners = Counter(key[1] for key in keys if len(key) == 3)
    assert 20 < partners.total() < 50
    assert len(partners) == 7


def test_a_mixture_is_the_same_on_any_workers_and_ranks_and_walks_each_folder_by_epochs(
    corpus: Path, tmp_path: Path
) -> None:
    foreground_shards(tmp_path / "more", count=3, prefix="m")
    folders: Folders = {f"{corpus}/foregrounds": 3, f"{tmp_path}/more": 1}
    cache = LocalCache(tmp_path / "cache")
    first = _numbers(corpus, cache, workers=0, ranks=1, foregrounds=folders)
    other = _numbers(corpus, cache, workers=2, ranks=2, foregrounds=folders)
    assert all(torch.equal(first[i][name], other[i][name]) for i in range(64) for name in PICTURES)
    keys = [str(first[number]["key"]).split("+")[0] for number in range(64)]
    parts = {prefix: [key for key in keys if key.startswith(prefix)] for prefix in "fm"}
    assert 7 < len(parts["m"]) < 30
    for prefix, count in (("f", 7), ("m", 3)):
        whole = len(parts[prefix]) // count * count
        assert all(len(set(parts[prefix][start : start + count])) == count for start in range(0, whole, count))
    again = _training(corpus, cache, foregrounds=folders)
    assert [again[number].key for number in (63, 5, 40)] == [first[number]["key"] for number in (63, 5, 40)]


def test_damage_costs_one_sample_and_is_replaced_the_same_everywhere(tmp_path: Path) -> None:
    foreground_shards(tmp_path / "foregrounds", count=9)
    background_shards(tmp_path / "backgrounds")
    sound = _numbers(tmp_path, LocalCache(tmp_path / "none", 0), workers=0, ranks=1)
    shard = tmp_path / "foregrounds" / "shard-000001.tar"
    spans = json.loads((tmp_path / "foregrounds" / INDEX_NAME).read_text())["shards"][1]["contents"]
    content = bytearray(shard.read_bytes())
    content[int(spans[1].split()[1]) + 700] ^= 255
    shard.write_bytes(content)
    cache = LocalCache(tmp_path / "cache")
    hurt = _numbers(tmp_path, cache, workers=0, ranks=1)
    for workers, ranks in ((0, 1), (2, 2)):
        again = _numbers(tmp_path, cache, workers=workers, ranks=ranks)
        assert all(torch.equal(hurt[i][name], again[i][name]) for i in range(64) for name in PICTURES)
    changed = [i for i in range(64) if hurt[i]["key"] != sound[i]["key"]]
    assert changed == [i for i in range(64) if "f004" in sound[i]["key"].split("+")[:-1]]
    damage = {line for number in range(64) for line in _training(tmp_path, cache)[number].damage}
    ((folder, position, line),) = damage
    assert (folder, position) == ("foregrounds", 4)
    assert "'f004'" in line
    assert str(shard) in line


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (33, 2), (17, 23)])
def test_pictures_of_any_size_become_samples(tmp_path: Path, size: tuple[int, int]) -> None:
    rgba = disc_rgba(0, *size)
    rgba[..., 3] |= 9
    write_shards(tmp_path / "foregrounds", [{"__key__": "a", "rgba.png": picture_bytes(rgba)}])
    write_shards(tmp_path / "backgrounds", [{"__key__": "b", "png": picture_bytes(rgba[..., :3].copy())}])
    training = _training(tmp_path, LocalCache(tmp_path / "cache"))
    for number in range(12):
        sample = training[number]
        assert not sample.damage
        assert sample.alpha.any()


def test_hidden_colours_come_with_the_crop_and_what_is_seen_stays(corpus: Path, tmp_path: Path) -> None:
    def samples() -> Iterable[dict[str, object]]:
        for i in range(3):
            rgba = disc_rgba(i, 64, 64)
            rgba[rgba[..., 3] == 0, :3] = (40, 160, 220)
            yield {"__key__": f"h{i}", "rgba.png": picture_bytes(rgba)}

    mixtures = [ShardMixture(write_shards(tmp_path / "hidden", samples())), ShardMixture(f"{corpus}/backgrounds")]
    within = Augmentation(crop_scale=(2.0, 2.5), rotation=0.0, shear=0.0, stretch=0.0)
    plain, hidden = (
        TrainingLayers(
            *mixtures, augmentation=within, image_size=24, seed=0, cache=LocalCache(tmp_path / "cache"),
            hidden_colours=hidden,
        )
        for hidden in (False, True)
    )  # fmt: skip
    for number in range(8):
        one, other = plain[number], hidden[number]
        assert torch.equal(one.alpha, other.alpha)
        unseen = (one.alpha == 0).expand(3, -1, -1)
        assert torch.equal(one.foreground[~unseen], other.foreground[~unseen])
        assert not one.foreground[unseen].any()
        far = (torch.nn.functional.max_pool2d(one.alpha.float()[None], 7, 1, 3)[0] == 0)[0]  # no edge mixes in
        assert far.any()
        assert (torch.tensor([40, 160, 220]) == other.foreground[:, far].T).all()
