"""Seconds spent in the named parts of something, and peak memory, on a CPU or a GPU."""

import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Adds up the seconds of each part.

    Args:
        device: Where the work is done.
        parts: Whether to wait for a GPU at both ends of every part; without, only `whole` waits, as in training.
    """

    def __init__(self, device: torch.device, *, parts: bool = True) -> None:
        self.device = device
        self.parts = parts
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        if not self.parts:
            yield
            return
        with self._timed(name):
            yield

    @contextmanager
    def whole(self) -> Iterator[None]:
        with self._timed("whole"):
            yield

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        start = self._now()
        yield
        self.seconds[name] += self._now() - start

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def peak_bytes(device: torch.device) -> int:
    """The most memory this process ever held: on a GPU torch's, on a CPU all of it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
