"""Stages as processes on this machine, some at a time, as memory allows."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess

from drip_lightning.errors import ExitStatus, InputError
from drip_lightning.memory import available_bytes
from drip_lightning.sweep.launcher import Launcher
from drip_lightning.sweep.stage_folder import StageFolder
from drip_lightning.sweep.stage_job import RunDrip, StageJob

_PATIENCE_SECONDS = 120
_GIB = 1 << 30


class LocalLauncher(Launcher):
    """One process a stage, forked from a server that has imported everything heavy once.

    A stage is taken to need as much memory as the greediest finished one of its kind; the first of a kind has none of
    its kind beside it.

    Args:
        run_drip: What the stages will call; its module is imported once for all.
        at_once: Stages at a time.
        preload: Further modules to import once for all.
    """

    def __init__(self, run_drip: RunDrip, *, at_once: int = 1, preload: Sequence[str] = ()) -> None:
        if at_once < 1:
            raise InputError(f"expected at least one stage at a time, got {at_once}")
        if at_once > 1:
            os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // at_once)))
        self.at_once = at_once
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([run_drip.__module__, *preload])
        self._running: dict[str, tuple[StageJob, BaseProcess]] = {}

    def start(self, jobs: Sequence[StageJob]) -> list[str]:
        """Start what there is room and memory for.

        Raises:
            InputError: memory is short, and nothing runs that could give some back.
        """
        started = []
        for job in jobs:
            if len(self._running) >= self.at_once:
                break
            if not self._has_memory_for(job):
                continue
            process = self._context.Process(target=_run, args=(job,), name=job.stage.key)
            process.start()
            self._running[job.stage.key] = (job, process)
            started.append(job.stage.key)
        return started

    def _has_memory_for(self, job: StageJob) -> bool:
        kind = job.stage.kind
        folders = (StageFolder(path.parent) for path in job.stages_folder.glob(f"{kind}-*/finished.json"))
        need = max((done.peak_bytes for folder in folders if (done := folder.finished())), default=0)
        if not need:
            return all(other.stage.kind != kind for other, _ in self._running.values())
        free = available_bytes()
        if need > free and not self._running:
            raise InputError(
                f"a {kind} stage needs about {need / _GIB:.1f} GiB of memory and {free / _GIB:.1f} GiB are free: "
                "end something else, and start the sweep again"
            )
        return need <= free

    def ended(self) -> dict[str, str]:
        """Stages whose process has ended."""
        found = {}
        for key, (_, process) in list(self._running.items()):
            if process.exitcode is not None:
                found[key] = _reason(process.exitcode)
                del self._running[key]
        return found

    def stop(self) -> None:
        """Ask every stage to save and end, and wait for it."""
        for _, process in self._running.values():
            if process.is_alive():
                process.terminate()
        for _, process in self._running.values():
            process.join(_PATIENCE_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
        self._running.clear()


def _run(job: StageJob) -> None:
    """A stage's process: away from the terminal's Ctrl-C, which the sweep passes on in its own way."""
    os.setsid()
    sys.exit(job())


def _reason(exitcode: int) -> str:
    if exitcode in (0, ExitStatus.BUSY):
        return ""
    return f"killed by {signal.Signals(-exitcode).name}" if exitcode < 0 else f"exit status {exitcode}"
