"""The Slurm that the other tests run on."""

from pathlib import Path

import pytest

from tests.slurm import Slurm

pytestmark = pytest.mark.slurm


def test_a_job_runs_on_both_nodes_and_a_failed_one_fails(slurm: Slurm, tmp_path: Path) -> None:
    script = tmp_path / "job.sbatch"
    script.write_text(
        '#!/bin/bash\nsrun --kill-on-bad-exit bash -c "echo \\$SLURM_PROCID of \\$SLURM_NTASKS; exit $1"\n'
    )
    for status, state in (("0", "COMPLETED"), ("3", "FAILED")):
        output = tmp_path / f"{state}.txt"
        job = slurm.submit(script, "--nodes=2", "--ntasks-per-node=1", f"--output={output}", arguments=(status,))
        assert slurm.wait(job, timeout_s=60) == state
        assert {"0 of 2", "1 of 2"} <= set(output.read_text().splitlines())
