import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.cli import ReduceLROnPlateau as PlateauOf
from torch.optim.lr_scheduler import LinearLR, ReduceLROnPlateau, SequentialLR

from drip_lightning.cli.fit import run
from drip_lightning.errors import InputError
from drip_lightning.lit.learning_rate import OneAfterAnother, WarmupThenDecay, schedule_for, span_run
from drip_lightning.lit.resume.checkpoint_io import read_checkpoint
from tests.runs import tiny_arguments

SCHEDULE = "--model.init_args.lr_scheduler="


def _optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def _rates(schedule: Any, steps: int) -> list[float]:
    rates = []
    for _ in range(steps):
        rates.append(schedule.optimizer.param_groups[0]["lr"])
        schedule.optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("constant", [0.5, 1, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.8, 0.6, 0.4]),
        ("cosine", [0.5, 1, *(0.2 + 0.4 * (1 + math.cos(math.pi * part / 4)) for part in range(4))]),
    ],
)
def test_the_rate_rises_and_then_falls_to_the_run_s_end(decay: Any, expected: list[float]) -> None:
    schedule = WarmupThenDecay(_optimizer(), warmup_steps=2, decay=decay, final_factor=0.2)
    schedule.span(6)
    assert _rates(schedule, 6) == pytest.approx(expected)


def test_a_longer_run_follows_the_longer_curve() -> None:
    schedule, longer = (WarmupThenDecay(_optimizer(), decay="linear") for _ in range(2))
    schedule.span(4)
    _rates(schedule, 2)
    longer.span(8)
    longer.load_state_dict(schedule.state_dict())
    assert _rates(longer, 2) == [1 - 2 / 8, 1 - 3 / 8]


def test_schedules_one_after_another_are_torch_s() -> None:
    def first(optimizer: torch.optim.Optimizer) -> LinearLR:
        return LinearLR(optimizer, 0.5, 1.0, 2)

    def second(optimizer: torch.optim.Optimizer) -> LinearLR:
        return LinearLR(optimizer, 1.0, 0.1, 3)

    plain = _optimizer()
    torchs = SequentialLR(plain, [first(plain), second(plain)], [2])
    assert _rates(OneAfterAnother(_optimizer(), [first, second], [2]), 6) == _rates(torchs, 6)


def test_a_decay_after_another_schedule_and_in_the_rest_of_a_run_ends_with_the_run() -> None:
    def decay(optimizer: torch.optim.Optimizer) -> WarmupThenDecay:
        return WarmupThenDecay(optimizer, decay="linear")

    chain = OneAfterAnother(_optimizer(), [lambda optimizer: LinearLR(optimizer, 0.5, 1.0, 2), decay], [2])
    span_run(chain, 10, begins_at=4)
    assert _rates(chain, 7) == pytest.approx([0.5, 0.75, 1, 0.75, 0.5, 0.25, 0])


@pytest.mark.parametrize("settings", [{"warmup_steps": -1}, {"final_factor": 1.5}])
def test_what_is_no_schedule_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"expected warmup_steps of at least 0 and final_factor in \[0, 1\]"):
        WarmupThenDecay(_optimizer(), **settings)


def test_a_schedule_that_does_not_fit_the_run_is_refused() -> None:
    schedule = WarmupThenDecay(_optimizer(), warmup_steps=5)
    with pytest.raises(InputError, match=r"5 warmup_steps and a decay do not fit trainer\.max_steps 5"):
        schedule.span(5)
    with pytest.raises(InputError, match=r"do not fit a run without trainer\.max_steps"):
        schedule.span(-1)


def _last_rate(cli: Any) -> float:
    return float(cli.trainer.optimizers[0].param_groups[0]["lr"])


def test_a_configuration_s_schedule_ends_with_the_run(synth: Path, tmp_path: Path) -> None:
    own = f'{SCHEDULE}{{"class_path": "drip_lightning.lit.learning_rate.WarmupThenDecay", "init_args": '
    own += '{"decay": "linear", "final_factor": 0.25}}'
    cli = run(tiny_arguments("autoencoder", synth, tmp_path, own, "--model.init_args.optimizer.init_args.lr=0.008"))
    assert _last_rate(cli) == pytest.approx(0.002)


@pytest.mark.slow
def test_a_configuration_chains_schedules(synth: Path, tmp_path: Path) -> None:
    linear = '{"class_path": "torch.optim.lr_scheduler.LinearLR", "init_args": {"start_factor": 0.5, "total_iters": 2}}'
    own = '{"class_path": "drip_lightning.lit.learning_rate.WarmupThenDecay", "init_args": {"decay": "constant"}}'
    chain = f'{SCHEDULE}{{"class_path": "drip_lightning.lit.learning_rate.OneAfterAnother", "init_args": '
    chain += f'{{"schedules": [{linear}, {own}], "milestones": [4]}}}}'
    folder = tmp_path / "autoencoder" / "checkpoints"
    run(tiny_arguments("autoencoder", synth, tmp_path, chain, "--trainer.max_steps=1"))
    cli = run(tiny_arguments("autoencoder", synth, tmp_path, chain, "--ckpt_path=auto"))
    rate = read_checkpoint(folder / "step=0000001.ckpt")["optimizer_states"][0]["param_groups"][0]
    assert (rate["lr"], _last_rate(cli)) == (pytest.approx(0.0015), pytest.approx(0.002))


def test_a_plateau_lowers_the_rate_after_a_validation(synth: Path, tmp_path: Path) -> None:
    plateau = f'{SCHEDULE}{{"class_path": "ReduceLROnPlateau", "init_args": '
    plateau += '{"monitor": "val/loss", "threshold_mode": "abs", "threshold": 1000, "patience": 0, "factor": 0.5}}'
    more = ("--trainer.max_steps=3", "--trainer.val_check_interval=1")
    cli = run(tiny_arguments("autoencoder", synth, tmp_path, plateau, *more))
    assert _last_rate(cli) == pytest.approx(0.002 / 4)  # of three validations the first is the best


@pytest.mark.parametrize(
    ("make", "every", "rate", "complaint"),
    [
        (ReduceLROnPlateau, 2, 1.0, "torch's ReduceLROnPlateau is not told which score .*, with a monitor such as val"),
        (partial(PlateauOf, monitor="val/loss"), 0.5, 1.0, r"needs trainer\.val_check_interval in steps, got 0\.5$"),
        (LinearLR, 2, None, r"SGD makes its own learning rate, .*; give it one, or no lr_scheduler, null$"),
    ],
)
def test_a_schedule_that_could_not_be_followed_is_refused(make: Any, every: float, rate: Any, complaint: str) -> None:
    optimizer = _optimizer()
    optimizer.param_groups[0]["lr"] = rate  # as Adafactor of transformers may have none
    trainer: Any = SimpleNamespace(max_steps=4, val_check_interval=every)
    with pytest.raises(InputError, match=f"^lr_scheduler: .*{complaint}"):
        schedule_for(trainer, optimizer, make)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped_with_the_fused_optimizer(synth: Path, tmp_path: Path, precision: str) -> None:
    own = '{"class_path": "torch.optim.SGD", "init_args": {"lr": 1.0, "fused": true}}'
    more = [f"--model.init_args.optimizer={own}", f"{SCHEDULE}null", "--trainer.gradient_clip_val=0.001"]
    more += [f"--trainer.precision={precision}", "--trainer.max_steps=1", "--gradient_audit.steps=1"]
    cli = run(tiny_arguments("autoencoder", synth, tmp_path, *more))
    norm = torch.stack([weight.grad.norm() for weight in cli.model.parameters() if weight.grad is not None]).norm()
    assert float(norm) == pytest.approx(0.001, rel=1e-2)
