from itertools import islice, pairwise

import pytest

from drip_lightning.data.order import BatchNumbers, ShardOrder


@pytest.mark.parametrize("sizes", [[3, 3, 1], [1], [5, 2]])
def test_each_epoch_visits_each_sample_once_shard_by_shard(sizes: list[int]) -> None:
    order = ShardOrder(sizes, seed=3, purpose="foregrounds")
    shard_of = [shard for shard, size in enumerate(sizes) for _ in range(size)]
    for epoch in range(4):
        positions = [order.position(epoch * len(shard_of) + step) for step in range(len(shard_of))]
        assert sorted(positions) == list(range(len(shard_of)))
        shards = [shard_of[position] for position in positions]
        changes = sum(first != second for first, second in pairwise(shards))
        assert changes == len(sizes) - 1


def test_order_depends_on_seed_epoch_and_purpose_alone() -> None:
    def walk(first: int, seed: int = 0, purpose: str = "foregrounds") -> list[int]:
        order = ShardOrder([4, 4, 4], seed=seed, purpose=purpose)
        return [order.position(first + step) for step in range(12)]

    assert walk(24) == walk(24)
    assert len({tuple(walk(0)), tuple(walk(12)), tuple(walk(0, seed=1)), tuple(walk(0, purpose="backgrounds"))}) == 4
    order = ShardOrder([4, 4, 4], seed=0, purpose="foregrounds")
    assert [order.position(number) for number in reversed(range(24))][::-1] == walk(0) + walk(12)


def test_numbers_by_hand() -> None:
    assert list(islice(BatchNumbers(batch_size=3), 2)) == [[0, 1, 2], [3, 4, 5]]
    assert list(islice(BatchNumbers(batch_size=2, first_number=5, period=3), 2)) == [[2, 0], [1, 2]]
    second_rank = BatchNumbers(batch_size=2, rank=1, world_size=3, first_number=24)
    assert list(islice(second_rank, 2)) == [[26, 27], [32, 33]]


def test_ranks_leave_no_gap_and_repeat_nothing() -> None:
    ranks = [islice(BatchNumbers(batch_size=2, rank=rank, world_size=4), 5) for rank in range(4)]
    assert sorted(number for batches in ranks for batch in batches for number in batch) == list(range(40))
