from collections import Counter
from pathlib import Path

import pytest

from drip_lightning.data.mixture import BLOCK, MixtureOrder, shard_digests, weights_of
from drip_lightning.data.shards.index import read_index
from drip_lightning.errors import InputError
from drip_lightning.lit.provenance import index_hash
from drip_lightning.sweep.plan import _data_digest
from tests.shards import foreground_shards


def test_every_block_has_each_folders_share_and_steps_count_what_came_before() -> None:
    order = MixtureOrder((0.5, 0.3, 0.1996, 0.0004), seed=3, purpose="foregrounds")
    places = [order.place(number) for number in range(3 * BLOCK)]
    for start in range(0, 3 * BLOCK, BLOCK):
        assert Counter(folder for folder, _ in places[start : start + BLOCK]) == {0: 500, 1: 300, 2: 199, 3: 1}
    for folder in range(4):
        steps = [step for which, step in places if which == folder]
        assert steps == list(range(len(steps)))
    fresh = MixtureOrder((0.5, 0.3, 0.1996, 0.0004), seed=3, purpose="foregrounds")
    assert [fresh.place(number) for number in (2500, 7, 1001)] == [places[number] for number in (2500, 7, 1001)]
    assert places[:BLOCK] != [(folder, step - 500 * (folder == 0)) for folder, step in places[BLOCK : 2 * BLOCK]]


def test_a_single_folder_is_walked_as_if_there_were_no_mixture() -> None:
    order = MixtureOrder((1.0,), seed=0, purpose="backgrounds")
    assert [order.place(number) for number in (0, 1, 123456)] == [(0, 0), (0, 1), (0, 123456)]


def test_weights_are_relative() -> None:
    assert weights_of("a") == {"a": 1.0}
    assert weights_of({"a": 3, "b": 1}) == {"a": 0.75, "b": 0.25}


@pytest.mark.parametrize("folders", [{}, {"a": 1.0, "b": 0.0}, {"a": -1.0}, {"a": float("inf")}])
def test_impossible_weights_are_refused(folders: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"^folders of shards: expected"):
        weights_of(folders)


def test_digests_tell_folders_and_shares_apart(tmp_path: Path) -> None:
    one, two = (foreground_shards(tmp_path / name, count=count) for name, count in (("one", 2), ("two", 3)))
    plain = [shard.sha256 for shard in read_index(one).shards]
    assert shard_digests(one) == shard_digests({one: 7.0}) == plain
    assert shard_digests({one: 1, two: 1}) == shard_digests({one: 2, two: 2}) != shard_digests({one: 1, two: 2})
    assert index_hash({one: 1, two: 1}) == f"{index_hash(one)} {index_hash(two)}"
    several = {"foregrounds": {one: 1, two: 1}, "backgrounds": one, "evaluation": None}
    assert _data_digest(several) not in (
        _data_digest({**several, "foregrounds": one}),
        _data_digest({} | several | {"backgrounds": two}),
    )
