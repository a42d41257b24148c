import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

from drip_lightning.data.in_order import in_order, processes
from drip_lightning.errors import RunError


def test_results_come_in_order_however_many_work() -> None:
    expected = [abs(item) for item in range(-20, 20)]
    for workers in (1, 2):
        with processes(workers) as executor:
            assert list(in_order(executor, abs, range(-20, 20), ahead=3)) == expected


def test_items_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    with ThreadPoolExecutor(2) as executor:
        results = in_order(executor, abs, items(), ahead=5)
        assert [next(results), next(results)] == [0, 1]
        assert len(taken) == 7


def test_an_exception_comes_in_its_turn() -> None:
    with ThreadPoolExecutor(2) as executor:
        results = in_order(executor, (1).__truediv__, [1, 2, 0, 4], ahead=4)
        assert [next(results), next(results)] == [1.0, 0.5]
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_a_killed_worker_is_told_in_a_line() -> None:
    def killed(item: int) -> int:
        raise BrokenProcessPool("terminated abruptly")

    with ThreadPoolExecutor(2) as executor, pytest.raises(RunError, match="was killed, most likely for want of memory"):
        list(in_order(executor, killed, [1], ahead=1))


if __name__ == "__main__":  # the parent that is killed
    with processes(2) as executor:
        print(*in_order(executor, abs, [0], ahead=1), flush=True)
        list(in_order(executor, time.sleep, [600.0], ahead=1))


def test_workers_end_when_their_parent_is_killed() -> None:
    """They have its standard output, which ends with the last of them."""
    parent = subprocess.Popen([sys.executable, "-m", "tests.data.test_in_order"], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "0\n"
    parent.kill()
    parent.communicate(timeout=120)
