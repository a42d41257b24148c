"""A real Slurm on this machine, for tests: a controller and two nodes of two CPUs each, all on loopback.

    from tests.slurm import Slurm

    @pytest.mark.slurm      # `make test-slurm` runs these, `make test` does not
    def test_something(slurm: Slurm) -> None:               # or slurm_here, which this process, too, submits to
        job = slurm.submit("script.sbatch", "--nodes=2")    # or anything else with slurm.environment
        assert slurm.wait(job, timeout_s=60) == "COMPLETED"

It needs Debian's packages `slurm-wlm` and `munge`, and is skipped without them. It has its own keys, sockets, ports and
folders, is there once a test session, disturbs no other Slurm of the machine, and is gone when the tests are, also
when they are killed. A job that requeues starts again after about 25 s: Slurm waits for its credential to expire.
"""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "squeue")
UNFINISHED = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED"}


class Slurm:
    """A running Slurm; `environment` is what a process needs to speak to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        own = {"SLURM_CONF": str(folder / "slurm.conf"), "MASTER_ADDR": "127.0.0.1"}  # the nodes' names do not resolve
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, **own, "PATH": path, "PYTHONPATH": str(Path(__file__).parents[1])}

    def run(self, *command: str) -> str:
        """Run a command of Slurm's and return what it prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}{self.logs()}"
        return done.stdout.strip()

    def submit(self, script: str | Path, *options: str, arguments: tuple[str, ...] = ()) -> str:
        """Submit a batch script with more options of sbatch before it and arguments after it; return the job's id."""
        return self.run("sbatch", "--parsable", *options, str(script), *arguments)

    def show(self, job: str) -> dict[str, str]:
        """What `scontrol show job` says: JobState, ExitCode, Restarts, …"""
        words = self.run("scontrol", "--oneliner", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait(self, job: str, *, timeout_s: float) -> str:
        """Wait until a job has finished for good; return its state, such as COMPLETED or FAILED."""
        until(
            lambda: self.show(job)["JobState"] not in UNFINISHED,
            timeout_s,
            lambda: f"job {job}: {self.show(job)['JobState']}\n{self.logs()}",
        )
        return self.show(job)["JobState"]

    def logs(self) -> str:
        """The ends of the daemons' logs."""
        return "".join(f"\n--- {log.name}\n{log.read_text()[-2000:]}" for log in sorted(self.folder.glob("*.log")))


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A Slurm that lives as long as the test session."""
    missing = [command for command in NEEDED if shutil.which(command) is None]
    if missing:
        pytest.skip(f"no Slurm here, {missing[0]} is missing: apt-get install slurm-wlm munge")
    # a socket's path may not be long, as pytest's folders are
    with tempfile.TemporaryDirectory(prefix="slurm-") as name, contextlib.ExitStack() as stack:
        cluster = Slurm(Path(name))
        _configure(cluster.folder)
        _daemon(stack, cluster, "munged", "--foreground", "--force", *_munge_files(cluster.folder))
        until((cluster.folder / "munge.socket").exists, 20, cluster.logs)
        _daemon(stack, cluster, "slurmctld", "-D", "-c")
        for node in ("node1", "node2"):
            _daemon(stack, cluster, "slurmd", "-D", "-N", node)
        until(lambda: cluster.run("sinfo", "--noheader", "--format=%t").split() == ["idle"], 60, cluster.logs)
        stack.callback(_cancel_all, cluster)
        yield cluster


def _configure(folder: Path) -> None:
    host, user = socket.gethostname().split(".")[0], getpass.getuser()
    ports = _free_ports(3)
    for name in ("state", "spool.node1", "spool.node2"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    settings = f"""
        ClusterName=test
        SlurmctldHost={host}(127.0.0.1)
        SlurmctldPort={ports[0]}
        SlurmUser={user}
        SlurmdUser={user}
        AuthType=auth/munge
        CredType=cred/munge
        AuthInfo=cred_expire=5,socket={folder}/munge.socket
        StateSaveLocation={folder}/state
        SlurmdSpoolDir={folder}/spool.%n
        SlurmctldPidFile={folder}/slurmctld.pid
        SlurmdPidFile={folder}/slurmd.%n.pid
        SlurmctldLogFile={folder}/slurmctld.log
        SlurmdLogFile={folder}/slurmd.%n.log
        SlurmdParameters=config_overrides
        ProctrackType=proctrack/linuxproc
        TaskPlugin=task/none
        SelectType=select/cons_tres
        SelectTypeParameters=CR_Core
        AccountingStorageType=accounting_storage/none
        JobAcctGatherType=jobacct_gather/none
        MpiDefault=none
        ReturnToService=2
        KillWait=5
        NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=10000 State=UNKNOWN
        NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=10000 State=UNKNOWN
        PartitionName=main Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP
    """
    (folder / "slurm.conf").write_text("\n".join(line.strip() for line in settings.splitlines()) + "\n")


def _munge_files(folder: Path) -> list[str]:
    files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    return [f"--{option}={folder}/munge.{ending}" for option, ending in files.items()]


def _daemon(stack: contextlib.ExitStack, cluster: Slurm, *command: str) -> None:
    """Start a daemon that ends with `stack`, or with this process, whatever happens to it: then its pipe is closed."""
    guarded = '"$@" & cat; kill $!; wait'
    with (cluster.folder / "daemons.log").open("a") as log:
        process = subprocess.Popen(
            ["sh", "-c", guarded, "sh", *command],
            env=cluster.environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    stack.callback(process.communicate)


@pytest.fixture
def slurm_here(slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    """The Slurm that this process speaks to, through submitit say; its jobs find this tree's modules."""
    for name in ("SLURM_CONF", "PYTHONPATH"):
        monkeypatch.setenv(name, slurm.environment[name])
    return slurm


def _cancel_all(cluster: Slurm) -> None:
    cluster.run("scancel", "--full", "--user", getpass.getuser())
    until(lambda: not cluster.run("squeue", "--noheader"), 60, cluster.logs)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def until(done: Callable[[], bool], timeout_s: float, complaint: Callable[[], str]) -> None:
    """Wait until `done`; fail with `complaint` if it takes too long."""
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {complaint()}"
        time.sleep(0.1)
