"""Runs on a real Slurm, by the script that is shipped."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest
import torch

from drip_lightning.lit.resume.checkpoint_io import checkpoints_in, newest_checkpoint, read_checkpoint
from tests.ranks import run_on_ranks
from tests.runs import tiny_arguments
from tests.slurm import Slurm, until

pytestmark = pytest.mark.slurm
SCRIPT = Path(__file__).parents[1] / "scripts" / "train.sbatch"
STEPS = 60


def _arguments(data: Path, runs: Path, folder: Path) -> list[str]:
    own = (
        f"--trainer.max_steps={STEPS}",
        f"--trainer.val_check_interval={STEPS}",
        "--checkpoint.every_n_train_steps=3",
    )
    return tiny_arguments(
        "denoiser", data, runs, f"--trainer.default_root_dir={folder}", "--trainer.strategy=ddp", *own
    )


def _submit(slurm: Slurm, folder: Path, arguments: list[str]) -> str:
    options = ("--nodes=2", f"--output={folder.parent}/log.txt")
    job = slurm.submit(SCRIPT, *options, arguments=(str(folder), *arguments[1:]))
    until(lambda: bool(checkpoints_in(folder / "checkpoints")), 300, lambda: _log(folder) + slurm.logs())
    return job


def _log(folder: Path) -> str:
    return (folder.parent / "log.txt").read_text()


def test_a_job_runs_on_both_nodes_and_a_failed_one_fails(slurm: Slurm, tmp_path: Path) -> None:
    script = tmp_path / "job.sbatch"
    script.write_text(
        '#!/bin/bash\nsrun --kill-on-bad-exit bash -c "echo \\$SLURM_PROCID of \\$SLURM_NTASKS; exit $1"\n'
    )
    for status, state in (("0", "COMPLETED"), ("3", "FAILED")):
        output = tmp_path / f"{state}.txt"
        job = slurm.submit(script, "--nodes=2", "--ntasks-per-node=1", f"--output={output}", arguments=(status,))
        assert slurm.wait(job, timeout_s=120) == state
        assert {"0 of 2", "1 of 2"} <= set(output.read_text().splitlines())


def test_a_run_that_is_requeued_ends_as_one_that_was_not(slurm: Slurm, synth: Path, runs: Path, tmp_path: Path) -> None:
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    job = _submit(slurm, broken, _arguments(synth, runs, broken))
    slurm.run("scancel", "--signal=USR1", job)
    run_on_ranks(2, _arguments(synth, runs, whole), tmp_path / "ranks")  # while Slurm waits
    assert slurm.wait(job, timeout_s=400) == "COMPLETED", _log(broken)
    assert slurm.show(job)["Restarts"] == "1"
    assert "SIGUSR1: stopping after this step" in _log(broken)
    weights, expected = (read_checkpoint(newest_checkpoint(folder)) for folder in (broken, whole))
    assert weights["global_step"] == expected["global_step"] == STEPS
    torch.testing.assert_close(weights["state_dict"], expected["state_dict"], rtol=0, atol=0)


def test_a_killed_rank_fails_the_job(slurm: Slurm, synth: Path, runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = [*_arguments(synth, runs, folder), "--trainer.max_steps=100000"]
    job = _submit(slurm, folder, arguments)
    os.kill(_process(job, rank=1), signal.SIGKILL)
    assert slurm.wait(job, timeout_s=240) == "FAILED"
    assert slurm.show(job)["ExitCode"] != "0:0"
    assert slurm.show(job)["Restarts"] == "0"


def _process(job: str, *, rank: int) -> int:
    """The process that is a rank of a job: the oldest that Slurm has told so."""
    wanted = {f"SLURM_JOB_ID={job}".encode(), f"SLURM_PROCID={rank}".encode(), b"SLURM_STEP_ID=0"}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended
            if wanted <= set((folder / "environ").read_bytes().split(b"\0")):
                found.append(int(folder.name))
    return min(found)


def test_the_script_says_how_it_is_used() -> None:
    done = subprocess.run(["bash", SCRIPT], capture_output=True, text=True)
    assert done.returncode != 0
    assert "usage: sbatch [OPTIONS] scripts/train.sbatch RUN" in done.stderr
