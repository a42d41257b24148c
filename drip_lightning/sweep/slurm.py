"""Stages as Slurm jobs by submitit: those that are ready together are one array; preempted ones are requeued."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drip_lightning.errors import ExitStatus, InputError, reason_of
from drip_lightning.files import write_text_whole
from drip_lightning.sweep.launcher import Launcher
from drip_lightning.sweep.stage_job import StageJob

_JOB = "slurm_job"
"""File in a stage's folder with the number of the job that was submitted for it."""


class SlurmLauncher(Launcher):
    """Submits stages; they run on when the sweep is interrupted, and a sweep started again finds them in the queue.

    Args:
        folder: Where submitit keeps its files, on a file system that the nodes share.
        parameters: What the jobs ask for, as submitit calls it: `partition`, `time` (minutes), `gpus_per_node`, …; and
            `additional_parameters`, any option of `sbatch`.
        at_once: Most tasks of an array that run at a time.
        cluster: Submitit's executor; `local` runs the same jobs as processes on this machine.
    """

    def __init__(
        self, folder: Path, *, parameters: Mapping[str, Any] | None = None, at_once: int = 16, cluster: str = "slurm"
    ) -> None:
        try:
            import submitit
        except ImportError as error:
            raise InputError("the slurm launcher needs submitit: pip install 'drip_lightning[slurm]'") from error
        self.poll_seconds = 5.0 if cluster == "slurm" else 0.5
        self._is_slurm = cluster == "slurm"
        self._folder = folder
        try:
            self._executor = submitit.AutoExecutor(folder=str(folder / "%j"), cluster=cluster)
        except RuntimeError as error:
            raise InputError(f"there is no Slurm here to submit to ({error}): use --launcher local") from error
        settings = {"time": 24 * 60, "array_parallelism": at_once} | dict(parameters or {})
        settings["additional_parameters"] = {"requeue": True} | dict(settings.get("additional_parameters", {}))
        try:
            self._executor.update_parameters(
                name="drip", **{f"slurm_{name}": value for name, value in settings.items()}
            )
        except (NameError, AssertionError) as error:
            raise InputError(f"--slurm: {reason_of(error)}") from error
        self._running: dict[str, Any] = {}
        self._missing: set[str] = set()

    def start(self, jobs: Sequence[StageJob]) -> list[str]:
        """Submit as one array all that an earlier sweep has not in the queue already."""
        queued = self._queued()
        new = []
        for job in jobs:
            file = job.folder.path / _JOB
            if file.is_file() and (number := file.read_text().strip()) in queued:
                self._running[job.stage.key] = self._adopt(number)
            else:
                new.append(job)
        for job, handle in zip(new, self._executor.submit_array(new) if new else [], strict=True):
            job.folder.path.mkdir(parents=True, exist_ok=True)
            write_text_whole(job.folder.path / _JOB, f"{handle.job_id}\n")
            self._running[job.stage.key] = handle
        return [job.stage.key for job in jobs]

    def _adopt(self, number: str) -> Any:
        import submitit

        return submitit.SlurmJob(folder=str(self._folder / "%j"), job_id=number)

    def _queued(self) -> set[str]:
        """Numbers of the jobs that Slurm knows and has not done with."""
        if not self._is_slurm:
            return set()
        asked = subprocess.run(["squeue", "--noheader", "--array", "--format=%i"], capture_output=True, text=True)
        if asked.returncode:
            raise InputError(f"squeue: {asked.stderr.strip()}")
        return set(asked.stdout.split())

    def ended(self) -> dict[str, str]:
        """Stages whose job left a result, or is gone from the queue without one."""
        found = {}
        queued = self._queued()
        for key, handle in list(self._running.items()):
            if _has_result(handle) or (not self._is_slurm and handle.done()):
                found[key] = _reason(handle)
            elif self._is_slurm and handle.job_id not in queued:
                if key in self._missing:  # a second look: its result may have been on the way
                    found[key] = f"job {handle.job_id} is gone from the queue and left no result"
                self._missing.add(key)
        for key in found:
            del self._running[key]
            self._missing.discard(key)
        return found

    def stop(self) -> None:
        """Leave them to Slurm: they need no sweep to finish."""


def _has_result(handle: Any) -> bool:
    return handle.paths.result_pickle.exists()


def _reason(handle: Any) -> str:
    error = handle.exception()
    if error is not None:
        last = str(error).strip().splitlines()[-1:]
        return f"job {handle.job_id}: {' '.join(last)}"
    status = handle.result()
    return "" if status in (0, ExitStatus.BUSY) else f"job {handle.job_id}: exit status {status}"
