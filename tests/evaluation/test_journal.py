from pathlib import Path

import pytest

from drip_lightning.errors import InputError
from drip_lightning.evaluation.journal import Journal, Result

PROTOCOL = {"region": "unknown", "data": "here", "methods": [{"name": "a", "source": "here"}]}


def result(number: int, error: str | None = None) -> Result:
    return Result(
        method="a", number=number, seed=0, steps=None, key=str(number), height=1, width=1, unknown_pixels=1,
        seconds=0.1, rows={}, error=error,
    )  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "out" / "results")
    journal.open(PROTOCOL, overwrite=False)
    return journal


def numbers(journal: Journal) -> list[int]:
    return sorted(line["number"] for line in journal.results())


def test_results_of_all_ranks_are_there_for_the_next_process(journal: Journal) -> None:
    journal.add(result(0), rank=0)
    journal.add(result(1), rank=1)
    again = Journal(journal.folder)
    again.open(PROTOCOL, overwrite=False)
    assert numbers(again) == [0, 1]


def test_a_line_that_was_broken_off_does_not_count_nor_spoil_the_next(journal: Journal) -> None:
    journal.add(result(0), rank=0)
    file = journal.folder / "rank-0.jsonl"
    whole = file.read_bytes()
    for length in (1, len(whole) // 2, len(whole) - 2):
        file.write_bytes(whole + whole[:length])
        journal.add(result(5), rank=0)
        assert numbers(journal) == [0, 5]


def test_what_failed_is_no_result_until_it_succeeds(journal: Journal) -> None:
    journal.add(result(3, error="torn"), rank=0)
    assert numbers(journal) == []
    assert journal.failures() == {3: "torn"}
    journal.add(result(3), rank=0)
    assert numbers(journal) == [3]


def test_another_place_is_the_same_protocol_another_setting_is_not(journal: Journal) -> None:
    journal.add(result(0), rank=0)
    moved = PROTOCOL | {"data": "there", "methods": [{"name": "a", "source": "there"}]}
    journal.open(moved, overwrite=False)
    assert numbers(journal) == [0]
    with pytest.raises(InputError, match=r"another protocol \(region: unknown, not whole\): choose another --out"):
        journal.open(PROTOCOL | {"region": "whole"}, overwrite=False)
    assert numbers(journal) == [0]
    journal.open(PROTOCOL | {"region": "whole"}, overwrite=True)
    assert numbers(journal) == []


def test_a_protocol_without_results_is_replaced(journal: Journal) -> None:
    journal.open(PROTOCOL | {"region": "whole"}, overwrite=False)
