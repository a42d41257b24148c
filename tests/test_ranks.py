"""Runs on several ranks: the same samples, losses, scores and weights as on one, and a clear end when one fails."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from drip_lightning.cli.fit import run
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.resume.checkpoint_io import checkpoints_in, newest_checkpoint, read_checkpoint
from tests.ranks import free_port, run_on_ranks, started
from tests.runs import tiny_arguments
from tests.shards import evaluation_shards
from tests.slurm import until

STEPS = 4
_TAGS = ("train/", "val/")
AVERAGED = "--model.init_args.averaging=EMA"
SMOOTH = "--model.init_args.optimizer.class_path=torch.optim.SGD"  # Adam's first steps are signs, whatever the gradient


@pytest.fixture(scope="module")
def data(synth: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session's shards, but three evaluation pictures: uneven on two ranks, and the first has no foreground."""
    folder = tmp_path_factory.mktemp("uneven")
    for split in ("foregrounds", "backgrounds"):
        (folder / split).symlink_to(synth / split)
    evaluation_shards(folder / "evaluation", count=3)
    return folder


def _arguments(stage: str, data: Path, runs: Path, folder: Path, *more: str) -> list[str]:
    own = ("--data.batch_size=4", f"--trainer.max_steps={STEPS}", f"--trainer.val_check_interval={STEPS}", SMOOTH)
    own += (
        "--model.init_args.optimizer.init_args.lr=0.01",
        "--trainer.log_every_n_steps=1",
        "--trainer.strategy=auto",
    )
    return tiny_arguments(stage, data, runs, f"--trainer.default_root_dir={folder}", *own, *more)


def _scalars(folder: Path) -> dict[str, list[float]]:
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {
        tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"] if tag.startswith(_TAGS)
    }


def _weights(folder: Path, kind: str = "state_dict") -> dict[str, Any]:
    return read_checkpoint(newest_checkpoint(folder))[kind]


def _assert_same(first: Path, second: Path) -> None:
    """The same logged losses and scores, but for the order of additions."""
    logged, other = _scalars(first), _scalars(second)
    assert logged.keys() == other.keys()
    assert len(logged["train/loss"]) == STEPS
    for tag in logged:
        assert other[tag] == pytest.approx(logged[tag], rel=1e-4, abs=1e-6), tag


@pytest.mark.parametrize(
    "stage", ["denoiser", *(pytest.param(name, marks=pytest.mark.slow) for name in ("autoencoder", "transparency"))]
)
def test_two_ranks_train_average_and_score_as_one(stage: str, data: Path, runs: Path, tmp_path: Path) -> None:
    run(_arguments(stage, data, runs, tmp_path / "one", AVERAGED))
    run_on_ranks(2, _arguments(stage, data, runs, tmp_path / "two", AVERAGED), tmp_path)
    _assert_same(tmp_path / "one", tmp_path / "two")
    if stage == "denoiser":  # L1's gradient jumps where a flat area meets its target, for the least of reasons
        for kind in ("state_dict", "averages"):
            first, second = _weights(tmp_path / "one", kind), _weights(tmp_path / "two", kind)
            torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_ranks_and_accumulation_may_change_at_every_resume(data: Path, runs: Path, tmp_path: Path) -> None:
    """Steps 1 and 2 on one rank, 3 on four, 4 on two that accumulate two batches: as one run on one rank."""
    run(_arguments("denoiser", data, runs, tmp_path / "whole"))
    parts = _arguments("denoiser", data, runs, tmp_path / "parts", "--ckpt_path=auto")
    run([*parts, "--trainer.max_steps=2"])
    run_on_ranks(4, [*parts, "--trainer.max_steps=3", "--trainer.limit_val_batches=0"], tmp_path)
    run_on_ranks(2, [*parts, "--trainer.accumulate_grad_batches=2"], tmp_path)
    torch.testing.assert_close(_weights(tmp_path / "whole"), _weights(tmp_path / "parts"), rtol=1e-3, atol=1e-4)
    logged, whole = (_scalars(tmp_path / name)["train/loss"] for name in ("parts", "whole"))
    assert logged[:3] == pytest.approx(whole[:3], rel=1e-4)
    assert len(logged) == STEPS


@pytest.mark.slow
def test_compiled_on_two_ranks_and_resumed_it_trains_as_one_plain_rank(data: Path, runs: Path, tmp_path: Path) -> None:
    run(_arguments("denoiser", data, runs, tmp_path / "plain"))
    compiled = ("--compilation.backend=aot_eager", "--ckpt_path=auto")
    arguments = _arguments("denoiser", data, runs, tmp_path / "compiled", *compiled)
    run_on_ranks(2, [*arguments, "--trainer.max_steps=2"], tmp_path)
    run_on_ranks(2, arguments, tmp_path)
    plain, logged = (_scalars(tmp_path / name)["train/loss"] for name in ("plain", "compiled"))
    assert logged == pytest.approx(plain, rel=1e-3)
    torch.testing.assert_close(_weights(tmp_path / "plain"), _weights(tmp_path / "compiled"), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "end", ["SIGKILL", *(pytest.param(end, marks=pytest.mark.slow) for end in ("exception", "worker"))]
)
def test_a_rank_that_dies_fails_all(
    data: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """The second rank dies in its third step; the first one, which waits for it, ends too, and not with 0."""
    step, steps = Denoiser.training_step, 0

    def deadly(self: Denoiser, *arguments: Any) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps == 3 and os.environ.get("LOCAL_RANK") == "1":
            if end == "exception":
                raise ZeroDivisionError("ours")
            victim = os.getpid() if end == "SIGKILL" else multiprocessing.active_children()[0].pid
            os.kill(victim, signal.SIGKILL)
        return step(self, *arguments)

    monkeypatch.setattr(Denoiser, "training_step", deadly)
    arguments = _arguments("denoiser", data, runs, tmp_path / "run", "--trainer.devices=2", "--trainer.max_steps=1000")
    workers = f"--data.num_workers={int(end == 'worker')}"
    with started([[*arguments, workers]] * 2, tmp_path) as (first, second):
        assert second.wait() == (-signal.SIGKILL if end == "SIGKILL" else 1)
        assert first.wait() == 1, first.output
    assert end != "worker" or "DataLoader worker" in second.output
    assert end != "exception" or "ZeroDivisionError: ours" in second.output
    assert checkpoints_in(tmp_path / "run" / "checkpoints") == []  # what it was in the midst of is not kept


def test_a_loss_that_is_not_finite_stops_all_ranks_and_names_its_samples(
    data: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rank 1 has the second half of a step's four samples: 10 and 11 in the third step."""
    step = Denoiser.training_step

    def infinite(self: Denoiser, batch: Any, *arguments: Any) -> torch.Tensor:
        return step(self, batch, *arguments) / (0 if 10 in batch["number"] else 1)

    monkeypatch.setattr(Denoiser, "training_step", infinite)
    arguments = _arguments("denoiser", data, runs, tmp_path / "run", "--trainer.devices=2")
    with started([arguments] * 2, tmp_path) as ranks:
        assert [rank.wait() for rank in ranks] == [1, 1]
    for rank in ranks:
        assert "is not finite; samples 10, 11: look at them with" in rank.output
    assert checkpoints_in(tmp_path / "run" / "checkpoints") == []


def _elsewhere(*command: str) -> subprocess.Popen[str]:
    """A process of its own, with this tree's `drip`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_lightning_starts_the_ranks_of_a_machine_and_fails_with_them(data: Path, runs: Path, tmp_path: Path) -> None:
    arguments = _arguments(
        "denoiser", data, runs, tmp_path / "run", "--trainer.devices=2", "--trainer.max_steps=100000"
    )
    more = ("--checkpoint.every_n_train_steps=1", "--trainer.limit_val_batches=0")
    process = _elsewhere("drip", *arguments, *more)
    until(lambda: bool(checkpoints_in(tmp_path / "run" / "checkpoints")), 300, lambda: "no checkpoint")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    said, _ = process.communicate(timeout=300)
    assert process.returncode != 0, said
    run_on_ranks(
        2, [*arguments, *more, "--ckpt_path=auto", "--trainer.max_steps=100"], tmp_path
    )  # what is kept is sound


@pytest.mark.slow
def test_torchrun_on_two_nodes(data: Path, runs: Path, tmp_path: Path) -> None:
    arguments = _arguments("denoiser", data, runs, tmp_path / "nodes", "--trainer.num_nodes=2")
    port = free_port()
    launch = ["torchrun", "--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={port}"]
    nodes = [_elsewhere(*launch, f"--node-rank={rank}", "--no-python", "drip", *arguments) for rank in range(2)]
    said = [node.communicate(timeout=300)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    run_on_ranks(2, _arguments("denoiser", data, runs, tmp_path / "machine"), tmp_path)
    torch.testing.assert_close(_weights(tmp_path / "nodes"), _weights(tmp_path / "machine"), rtol=0, atol=0)


@pytest.mark.slow
def test_nodes_that_were_told_differently_say_so(data: Path, runs: Path, tmp_path: Path) -> None:
    arguments = _arguments("denoiser", data, runs, tmp_path / "nodes", "--trainer.num_nodes=2")
    port = free_port()
    launch = ["torchrun", "--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={port}"]
    odd = "--model.init_args.optimizer.init_args.lr=0.2"
    nodes = [
        _elsewhere(*launch, f"--node-rank={rank}", "--no-python", "drip", *arguments, *([odd] * rank))
        for rank in range(2)
    ]
    first, second = (node.communicate(timeout=300)[0] for node in nodes)
    assert all(node.returncode for node in nodes)
    lines = [line for line in (first + second).splitlines() if line.startswith("drip fit: ")]
    assert len(lines) == 1
    assert lines[0].startswith("drip fit: rank 1 on ")
    assert lines[0].endswith(": model.init_args.optimizer.init_args.lr is 0.2, not 0.01")
    assert not (tmp_path / "nodes" / "checkpoints").exists()
