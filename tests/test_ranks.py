"""Runs on several ranks: the same samples, losses, scores and weights as on one, and a clear end when one fails."""

from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from drip_lightning.cli.fit import run
from drip_lightning.lit.checkpoint_io import newest_checkpoint, read_checkpoint
from tests.ranks import run_on_ranks
from tests.runs import tiny_arguments
from tests.shards import evaluation_shards

STEPS = 4
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
        "--model.init_args.optimizer.init_args.lr=0.05",
        "--trainer.log_every_n_steps=1",
        "--trainer.strategy=auto",
    )
    return tiny_arguments(stage, data, runs, f"--trainer.default_root_dir={folder}", *own, *more)


def _scalars(folder: Path) -> dict[str, list[float]]:
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"] if "/" in tag}


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(newest_checkpoint(folder))["state_dict"]


def _assert_same(first: Path, second: Path) -> None:
    """The same logged losses and scores, and weights, but for the order of additions."""
    logged, other = _scalars(first), _scalars(second)
    assert logged.keys() == other.keys()
    assert len(logged["train/loss"]) == STEPS
    for tag in logged:
        assert other[tag] == pytest.approx(logged[tag], rel=1e-4, abs=1e-6), tag
    torch.testing.assert_close(_weights(first), _weights(second), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("stage", ["autoencoder", "denoiser", "transparency"])
def test_two_ranks_train_and_score_as_one(stage: str, data: Path, runs: Path, tmp_path: Path) -> None:
    run(_arguments(stage, data, runs, tmp_path / "one"))
    run_on_ranks(2, _arguments(stage, data, runs, tmp_path / "two"), tmp_path)
    _assert_same(tmp_path / "one", tmp_path / "two")
