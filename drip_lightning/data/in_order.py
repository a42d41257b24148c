"""A function over many items, by several workers, with the results in the items' order and few of them in memory."""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

from drip_lightning.errors import RunError

Item = TypeVar("Item")
Result = TypeVar("Result")


def processes(workers: int) -> AbstractContextManager[Executor | None]:
    """Worker processes for `in_order`, or none, for work in this process, if one is enough.

    Spawned, because a forked process would inherit the progress bar's and PyTorch's locks in any state.
    """
    if workers == 1:
        return nullcontext()
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=_follow_parent)


def in_order(
    executor: Executor | None, function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order; items wait until at most `ahead` results are outstanding.

    Args:
        executor: Runs the calls; None calls in this thread.
        function: Of one item.
        items: Taken as they are needed.
        ahead: How many calls may be under way or finished before their turn.

    Raises:
        RunError: a worker was killed.
    """
    if executor is None:
        yield from map(function, items)
        return
    outstanding: deque[Future[Result]] = deque()
    try:
        for item in items:
            outstanding.append(executor.submit(function, item))
            if len(outstanding) > ahead:
                yield outstanding.popleft().result()
        while outstanding:
            yield outstanding.popleft().result()
    except BrokenProcessPool as error:
        raise RunError(
            "a worker process was killed, most likely for want of memory: run again with fewer --workers to resume"
        ) from error
    finally:
        for future in outstanding:
            future.cancel()


def _follow_parent() -> None:
    """Leave interrupts to the parent, and end when it is killed: a worker would wait for work from it forever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
