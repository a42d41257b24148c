import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import drip_lightning.cli.main as command
from drip_lightning.cli.fit import run
from drip_lightning.errors import InputError
from drip_lightning.lit.parameter_groups import (
    DecayWeightsOnly,
    Factors,
    LayerwiseDecay,
    ParameterGroups,
    make_optimizer,
)
from tests.networks import tiny_unet, tiny_vae
from tests.runs import tiny_arguments
from tests.same_run import differences

POWERS = {
    r"conv_in|time_embedding|class_embedding": 6,
    r"down_blocks\.0": 5,
    r"down_blocks\.1": 4,
    r"mid_block": 3,
    r"up_blocks\.0": 2,
    r"up_blocks\.1": 1,
    r"conv_norm_out|conv_out": 0,
}
"""Of a U-Net with two blocks down and two up."""
OPTIMIZER = (
    '--model.init_args.optimizer={"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.01, "weight_decay": 0.1}}'
)
GROUPS = (
    '--model.init_args.parameter_groups=[{"class_path": "DecayWeightsOnly"}, '
    '{"class_path": "LayerwiseDecay", "init_args": {"decay": 0.5}}]'
)
ONE_CYCLE = (
    '--model.init_args.lr_scheduler={"class_path": "torch.optim.lr_scheduler.OneCycleLR", '
    '"init_args": {"max_lr": 0.01, "total_steps": 9}}'
)


def adamw(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=0.25, weight_decay=0.125)


def power_of(name: str) -> int:
    (power,) = (power for pattern, power in POWERS.items() if re.match(rf"({pattern})\b", name))
    return power


def test_every_weight_is_in_one_group_with_the_settings_of_its_block_and_kind() -> None:
    weights = dict(tiny_unet().named_parameters())
    optimizer = make_optimizer(adamw, weights, [LayerwiseDecay(0.5), DecayWeightsOnly()])
    settings = {
        id(weight): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for weight in group["params"]
    }
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(settings) == len(weights)
    assert len(optimizer.param_groups) == 2 * len(POWERS)
    for name, weight in weights.items():
        decay = 0.0 if name.endswith("bias") or "norm" in name else 0.125
        assert settings[id(weight)] == (0.25 * 0.5 ** power_of(name), decay), name


def test_an_autoencoder_s_halves_count_from_their_own_ends() -> None:
    factors = LayerwiseDecay(0.5).factors(dict(tiny_vae().named_parameters()))
    found = {name: factors[name].learning_rate for name in factors if name.endswith(("conv_in.bias", "conv2.bias"))}
    assert found["encoder.conv_in.bias"] == 0.5**4
    assert found["encoder.down_blocks.0.resnets.0.conv2.bias"] == 0.5**3
    assert found["encoder.mid_block.resnets.1.conv2.bias"] == 0.5
    assert found["decoder.conv_in.bias"] == 0.5**4
    assert found["decoder.mid_block.resnets.0.conv2.bias"] == 0.5**3
    assert found["decoder.up_blocks.1.resnets.0.conv2.bias"] == 0.5
    assert "quant_conv.bias" not in factors


def test_without_a_choice_there_is_one_group_in_the_network_s_order() -> None:
    weights = dict(tiny_unet().named_parameters())
    (group,) = make_optimizer(adamw, weights, ()).param_groups
    assert [id(weight) for weight in group["params"]] == [id(weight) for weight in weights.values()]


@pytest.mark.parametrize(
    ("make", "choice", "complaint"),
    [
        (torch.optim.Adam, DecayWeightsOnly(), "Adam has no weight_decay that some weights could go without"),
        (torch.optim.Rprop, DecayWeightsOnly(), "Rprop has no weight_decay"),
        (adamw, LayerwiseDecay(), "LayerwiseDecay is for U-Nets and autoencoders"),
    ],
)
def test_a_choice_that_would_do_nothing_is_refused(
    make: Callable[..., torch.optim.Optimizer], choice: ParameterGroups, complaint: str
) -> None:
    weights = dict(nn.Linear(2, 2).named_parameters())
    with pytest.raises(InputError, match=complaint):
        make_optimizer(make, weights, [choice])


@pytest.mark.parametrize("decay", [0.0, 1.5])
def test_what_is_no_factor_is_refused(decay: float) -> None:
    with pytest.raises(InputError, match="expected more than 0 and at most 1"):
        LayerwiseDecay(decay)


def test_factors_of_several_choices_are_multiplied() -> None:
    class Halved(ParameterGroups):
        def factors(self, weights: Any) -> dict[str, Factors]:
            return dict.fromkeys(weights, Factors(learning_rate=0.5, weight_decay=0.5))

    (group,) = make_optimizer(adamw, {"bias": nn.Parameter(torch.ones(1, 1))}, [Halved(), Halved()]).param_groups
    assert (group["lr"], group["weight_decay"]) == (0.25 / 4, 0.125 / 4)


@pytest.mark.slow
def test_a_run_with_groups_resumes_as_if_never_stopped_and_with_no_others(
    synth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep = ("--checkpoint.every_n_train_steps=1", "--checkpoint.keep=-1", "--ckpt_path=auto")
    more = (OPTIMIZER, "--trainer.val_check_interval=9", "--trainer.max_steps=3", *keep)
    cli = run(tiny_arguments("autoencoder", synth, tmp_path, *more, GROUPS))
    rates = {group["initial_lr"] for group in cli.trainer.optimizers[0].param_groups}
    assert rates == {0.01 * 0.5**power for power in range(7)}  # of four blocks, the middle, the input, and the rest

    whole = Path(shutil.copytree(tmp_path / "autoencoder", tmp_path / "whole"))
    for step in (2, 3):
        (tmp_path / "autoencoder" / "checkpoints" / f"step=000000{step}.ckpt").unlink()
    assert command.run(tiny_arguments("autoencoder", synth, tmp_path, *more)) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "otherwise: parameter_groups [DecayWeightsOnly, LayerwiseDecay], configured []; give" in said
    run(tiny_arguments("autoencoder", synth, tmp_path, *more, GROUPS))
    assert differences(tmp_path / "autoencoder", whole) == []


def test_a_schedule_that_would_undo_them_is_refused(
    synth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run(tiny_arguments("autoencoder", synth, tmp_path, OPTIMIZER, GROUPS, ONE_CYCLE)) == 1
    assert "lr_scheduler: OneCycleLR sets every group's learning rate" in capsys.readouterr().err.splitlines()[-1]
