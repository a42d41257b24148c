from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from drip_lightning.errors import InputError, RunError
from drip_lightning.lit.ranks.preflight import Facts, agree, open_store
from tests.ranks import free_port

SAME = {"data.batch_size": "8", "code of drip_lightning": "abc"}


def _meet(
    facts: Sequence[Facts], *, world_sizes: Sequence[int] | None = None, timeout_s: float = 20
) -> list[BaseException | None]:
    """What becomes of ranks, threads here, that know `facts`; one that is None does not come."""
    port = free_port()
    stores = []  # kept, as the process group keeps them

    def rank(number: int) -> None:
        store = open_store(rank=number, address="127.0.0.1", port=port, timeout_s=timeout_s)
        stores.append(store)
        agree(facts[number], store, rank=number, world_size=(world_sizes or [len(facts)] * len(facts))[number])

    with ThreadPoolExecutor(len(facts)) as pool:
        return [one.exception() for one in [pool.submit(rank, number) for number in range(len(facts)) if facts[number]]]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_ranks_that_know_the_same_go_on(count: int) -> None:
    assert _meet([SAME] * count) == [None] * count


def test_the_first_rank_says_what_differs_and_all_leave() -> None:
    odd = {**SAME, "data.batch_size": "4", "data.workers": "1"}
    first, second, third = _meet([SAME, SAME, odd])
    assert isinstance(first, InputError)
    assert str(first).startswith("rank 2 on ")
    assert "differs from rank 0 on " in str(first)
    assert str(first).endswith(": data.batch_size is 4, not 8; data.workers is 1, not unknown")
    assert isinstance(second, SystemExit)
    assert isinstance(third, SystemExit)


def test_many_differences_are_one_line() -> None:
    odd = {f"setting{i}": "1" for i in range(9)}
    said = str(_meet([SAME, odd])[0])
    assert "\n" not in said
    assert said.endswith("; and 8 more")
    assert said.count(" is ") == 3


def test_a_rank_that_counts_more_ranks_than_the_first_says_so() -> None:
    first, extra = _meet([SAME, SAME], world_sizes=[1, 2])
    assert first is None
    assert "world size is 2, not 1" in str(extra)


@pytest.mark.slow
def test_a_rank_that_does_not_come_is_named_in_bounded_time() -> None:
    first, second = _meet([SAME, SAME, {}], world_sizes=[3, 3, 3], timeout_s=1)
    assert isinstance(first, RunError)
    assert str(first).startswith("rank 2 of 3 did not come within 1 s")
    assert second is not None


def test_a_first_rank_that_is_not_there_is_named() -> None:
    said = str(_meet([{}, SAME], timeout_s=1)[0])
    assert said.startswith("rank 1 on ")
    assert "did not find rank 0 at 127.0.0.1:" in said
    assert "MASTER_ADDR" in said
