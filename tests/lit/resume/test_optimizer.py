"""A resumed run's optimizer and schedule: the checkpoint's, refused by name, or taken anew."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LinearLR, LRScheduler, MultiStepLR, SequentialLR

import drip_lightning.cli.main as command
from drip_lightning.cli.fit import run
from drip_lightning.errors import InputError
from drip_lightning.lit.autoencoder import Autoencoder
from drip_lightning.lit.resume.checkpoint_io import checkpoints_in, newest_checkpoint, read_checkpoint, step_of
from drip_lightning.lit.resume.optimizer import describe_optimization, resume_optimizer
from tests.runs import tiny_arguments
from tests.same_run import differences

OPTIMIZER = "--model.init_args.optimizer="
SCHEDULE = "--model.init_args.lr_scheduler="
LINEAR = "torch.optim.lr_scheduler.LinearLR"
SGD = f'{OPTIMIZER}{{"class_path": "torch.optim.SGD", "init_args": {{"lr": 0.01, "momentum": 0.9}}}}'
DECAY = f'{SCHEDULE}{{"class_path": "WarmupThenDecay", "init_args": {{"decay": "linear"}}}}'
ANEW = "--checkpoint.new_optimizer=true"


@pytest.fixture
def arguments(synth: Path, runs: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """What resumes an autoencoder that was trained for two steps with Adam and a falling rate."""
    shutil.copytree(runs / "autoencoder", tmp_path / "autoencoder")
    return lambda *more: tiny_arguments(
        "autoencoder",
        synth,
        tmp_path,
        "--ckpt_path=auto",
        "--trainer.max_steps=4",
        "--trainer.val_check_interval=9",
        *more,
    )


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("--model.init_args.optimizer.init_args.lr=0.5", "optimizer.lr 0.002, configured 0.5"),
        ("--model.init_args.optimizer.init_args.weight_decay=0.1", "optimizer.weight_decay 0.0, configured 0.1"),
        ("--model.init_args.optimizer.init_args.betas=[0.9,0.99]", "optimizer.betas.1 0.999, configured 0.99"),
        (SGD, "optimizer Adam, configured SGD"),
        (f"{SCHEDULE}null", "lr_scheduler LinearLR, configured None"),
        ("--model.init_args.lr_scheduler.init_args.total_iters=9", "lr_scheduler.total_iters 220, configured 9"),
        (DECAY, "lr_scheduler LinearLR, configured WarmupThenDecay"),
    ],
)
def test_another_optimizer_or_schedule_is_refused_by_name(
    arguments: Callable[..., list[str]], capsys: pytest.CaptureFixture[str], change: str, complaint: str
) -> None:
    assert command.run(arguments(change)) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"step=0000002.ckpt was trained otherwise: {complaint}; give the configuration" in said
    assert said.endswith("--checkpoint.new_optimizer true")


@pytest.mark.slow
def test_an_optimizer_is_taken_anew_once_and_the_run_then_resumes_as_ever(
    arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    """A linear decay over the four steps that are left; stopped at any of them, the run is the same."""
    own = arguments(
        SGD, DECAY, ANEW, "--trainer.max_steps=6", "--checkpoint.every_n_train_steps=1", "--checkpoint.keep=-1"
    )
    cli = run(own)
    assert type(cli.trainer.optimizers[0]).__name__ == "SGD"
    states = [
        read_checkpoint(file)["optimizer_states"][0] for file in reversed(checkpoints_in(tmp_path / "autoencoder"))
    ]
    assert [one["param_groups"][0]["lr"] for one in states[1:]] == pytest.approx([0.0075, 0.005, 0.0025, 0])
    assert all(set(one) == {"momentum_buffer"} for one in states[1]["state"].values())

    whole = Path(shutil.copytree(tmp_path / "autoencoder", tmp_path / "whole"))
    for file in checkpoints_in(tmp_path / "autoencoder"):
        if step_of(file) > 4:
            file.unlink()
    run(own)
    assert differences(tmp_path / "autoencoder", whole) == []


def test_code_that_trains_other_weights_than_it_did_is_told_so(
    arguments: Callable[..., list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    build = Autoencoder.build

    def with_frozen_bias(self: Autoencoder, *, pretrained: bool = True) -> None:
        build(self, pretrained=pretrained)
        self.vae.encoder.conv_in.bias.requires_grad_(False)

    monkeypatch.setattr(Autoencoder, "build", with_frozen_bias)
    assert command.run(arguments()) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    told = re.search(r"was trained otherwise: (\d+) weights in 1 groups, configured (\d+) in 1; give the config", said)
    assert told is not None
    assert int(told[1]) == int(told[2]) + 1
    assert command.run(arguments(ANEW)) == 0


def test_what_fsdp_has_loaded_is_not_taken_anew() -> None:
    """Its ranks load their shares before anybody could look."""
    module = SimpleNamespace(optimization={"optimizer": "SGD"})
    trainer: Any = SimpleNamespace(
        lightning_module=module, strategy=SimpleNamespace(restore_checkpoint_after_setup=True), ckpt_path="c"
    )
    with pytest.raises(InputError, match=r"^checkpoint\.new_optimizer: FSDP has loaded .*; take it anew under ddp"):
        resume_optimizer(trainer, {"optimization": {"optimizer": "Adam"}}, anew=True)


@pytest.mark.slow
def test_what_does_not_differ_is_not_taken_anew(arguments: Callable[..., list[str]], tmp_path: Path) -> None:
    first = Path(shutil.copytree(tmp_path / "autoencoder", tmp_path / "first"))
    run(arguments(ANEW))
    run(arguments(f"--trainer.default_root_dir={first}"))
    assert differences(tmp_path / "autoencoder", first) == []


def test_hardware_may_change(arguments: Callable[..., list[str]]) -> None:
    cli = run(arguments("--model.init_args.optimizer.init_args.fused=false"))
    assert cli.trainer.optimizers[0].param_groups[0]["fused"] is False
    assert cli.trainer.global_step == 4


@pytest.mark.slow
def test_a_checkpoint_that_does_not_tell_is_resumed_or_taken_anew(
    arguments: Callable[..., list[str]], tmp_path: Path
) -> None:
    file = newest_checkpoint(tmp_path / "autoencoder")
    checkpoint = torch.load(file, weights_only=True)
    del checkpoint["optimization"]
    torch.save(checkpoint, file)
    again = Path(shutil.copytree(tmp_path / "autoencoder", tmp_path / "again"))
    assert run(arguments()).trainer.optimizers[0].state_dict()["state"][0]["step"] == 4
    cli = run(arguments(f"--trainer.default_root_dir={again}", ANEW))
    assert cli.trainer.optimizers[0].state_dict()["state"][0]["step"] == 2


def test_schedules_are_described_by_their_arguments() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5, momentum=0.9)
    description = describe_optimization(optimizer, None, ())
    assert description["lr_scheduler"] is None
    assert description["optimizer"]["class_path"] == "torch.optim.sgd.SGD"
    assert {"lr": 0.5, "momentum": 0.9, "nesterov": False}.items() <= description["optimizer"]["init_args"].items()
    assert "fused" not in description["optimizer"]["init_args"]

    def described(schedule: LRScheduler) -> Any:
        return describe_optimization(optimizer, schedule, ())["lr_scheduler"]["init_args"]

    parts: list[LRScheduler] = [LinearLR(optimizer, total_iters=3), MultiStepLR(optimizer, [30, 10], gamma=0.5)]
    assert (described(parts[1])["milestones"], described(parts[1])["gamma"]) == ([10, 30], 0.5)
    chain = described(SequentialLR(optimizer, parts, [7]))
    assert chain["milestones"] == [7]
    assert [one.get("total_iters") for one in chain["schedulers"]] == [3, None]
