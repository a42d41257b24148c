"""Several ranks of a run on this machine, forked from the test's own process: seconds less each than a new Python."""

import contextlib
import gc
import multiprocessing
import os
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import drip_lightning.cli.main as command


@dataclass
class Rank:
    """A forked rank; `output` is what it has printed so far."""

    process: multiprocessing.process.BaseProcess
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text()

    def wait(self, timeout_s: float = 300) -> int:
        """Its exit status, minus a signal's number if it was killed."""
        self.process.join(timeout_s)
        assert self.process.exitcode is not None, f"not over after {timeout_s} s:\n{self.output}"
        return self.process.exitcode


@contextlib.contextmanager
def started(arguments: Sequence[Sequence[str]], folder: Path) -> Iterator[list[Rank]]:
    """Run `drip` on as many ranks as there are arguments; kill those that are left in the end."""
    port = free_port()
    ranks = []
    gc.collect()  # garbage with threads of its own, such as a store of other tests, crashes a fork that collects it
    for rank, own in enumerate(arguments):
        environment = {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": str(len(arguments))}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        log = folder / f"rank{rank}.txt"
        target = multiprocessing.get_context("fork").Process(target=_run, args=(list(own), environment, log))
        target.start()
        ranks.append(Rank(target, log))
    try:
        yield ranks
    finally:
        for one in ranks:
            one.process.kill()
            one.process.join()


def run_on_ranks(count: int, arguments: Sequence[str], folder: Path) -> None:
    """Run `drip` on `count` ranks, and see that all of them succeed."""
    folder.mkdir(exist_ok=True)
    with started([[*arguments, f"--trainer.devices={count}"]] * count, folder) as ranks:
        assert [rank.wait() for rank in ranks] == [0] * count, "\n".join(rank.output for rank in ranks)


def wait_for(word: str, rank: Rank, timeout_s: float = 300) -> None:
    """Wait until a rank has printed `word`."""
    deadline = time.monotonic() + timeout_s
    while not rank.log.exists() or word not in rank.output:
        assert time.monotonic() < deadline, f"no {word!r} after {timeout_s} s:\n{rank.output}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _run(arguments: list[str], environment: dict[str, str], log: Path) -> None:
    gc.freeze()  # what the test's process holds is its own to end
    torch.set_num_threads(1)  # a pool of threads that other tests began does not survive the fork
    os.environ.update(environment)
    descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout = sys.stderr = os.fdopen(descriptor, "w", buffering=1)  # pytest's own go elsewhere
    try:
        status = command.run(arguments)
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        os.write(2, traceback.format_exc().encode())
        status = 1
    os._exit(status)
