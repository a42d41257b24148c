import pytest
import torch

from drip_lightning.cost.run import CONTEXT_BYTES, RunCost, TrainerPlan, cost_of, optimizer_ratio
from drip_lightning.cost.step import StepCost
from drip_lightning.errors import InputError
from drip_lightning.lit.averaging import EMA
from drip_lightning.lit.datamodule import MattingDataModule
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.nn.fine_tuning import AttentionOnly
from tests.networks import NETWORKS

SETTINGS = {
    "devices": 4, "num_nodes": 2, "accumulate_grad_batches": 3, "precision": "bf16-mixed", "accelerator": "auto",
    "strategy": "auto", "max_steps": 100, "val_check_interval": 20, "limit_val_batches": 2,
}  # fmt: skip


def test_the_trainer_s_settings_are_read_as_training_reads_them() -> None:
    assert TrainerPlan.of(SETTINGS) == TrainerPlan(8, 3, "bf16-mixed", True, False, 100, 5, 2)
    assert TrainerPlan.of(SETTINGS | {"devices": "auto", "num_nodes": 1}).ranks == 1
    assert TrainerPlan.of(SETTINGS | {"devices": "auto"}, ranks=6).ranks == 6
    assert TrainerPlan.of(SETTINGS | {"devices": [0, 2], "num_nodes": 1}).ranks == 2
    with pytest.raises(InputError, match=r"trainer\.max_steps: give a number of steps"):
        TrainerPlan.of(SETTINGS | {"max_steps": -1})


def _data(batch_size: int = 4, evaluation: str | None = None) -> MattingDataModule:
    return MattingDataModule("nowhere", "nowhere", evaluation, image_size=16, batch_size=batch_size)


@pytest.mark.slow
def test_a_checkpoint_and_memory_are_made_of_trained_weights_optimizer_and_averages() -> None:
    cost = cost_of(Denoiser(NETWORKS, averaging=EMA()), _data(), TrainerPlan(ranks=2, steps=10, on_gpu=False))
    prompt = 2 * NETWORKS.prompt_channels  # the embedding, which is no parameter
    assert cost.checkpoint == {
        "weights": 4 * (cost.trained + prompt), "optimizer": 8 * cost.trained, "averages": 4 * cost.trained
    }  # fmt: skip
    assert cost.memory["weights"] == 4 * (cost.trained + cost.frozen)
    assert cost.memory["gradients"] == 4 * cost.trained
    assert cost.batch == 2
    assert cost.peak_bytes == sum(cost.memory.values()) > cost.step.peak_bytes
    sharded = cost_of(Denoiser(NETWORKS), _data(), TrainerPlan(ranks=2, steps=10, on_gpu=False, sharded=True))
    assert sharded.memory["optimizer"] == cost.memory["optimizer"] // 2
    assert sharded.memory["batch"] == cost.memory["batch"]


@pytest.mark.slow
def test_what_is_frozen_has_neither_gradient_nor_optimizer() -> None:
    whole, part = (
        cost_of(Denoiser(NETWORKS, **options), _data(), TrainerPlan(steps=1, on_gpu=False))
        for options in ({}, {"fine_tuning": AttentionOnly()})
    )
    assert part.trained < whole.trained / 2
    assert part.trained + part.frozen == whole.trained + whole.frozen
    assert part.memory["gradients"] == 4 * part.trained


@pytest.mark.parametrize(
    ("optimizer", "ratio"),
    [
        (torch.optim.Adam, 2),
        (torch.optim.SGD, 0),
        (lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9), 1),
        (lambda weights: torch.optim.Adam(weights, amsgrad=True), 3),
    ],
)
def test_an_optimizer_s_state_is_what_it_makes_of_a_weight(optimizer: object, ratio: float) -> None:
    assert optimizer_ratio(Denoiser(NETWORKS, optimizer=optimizer)) == ratio  # type: ignore[arg-type]


def test_hours_and_the_batch_that_fits_are_worked_out() -> None:
    step = StepCost({"denoiser": 3e12, "backward": 6e12}, kept_bytes=4 * 10**9, peak_bytes=8 * 10**9)
    memory = {"weights": 2 * 10**9, "gradients": 1 * 10**9, "batch": step.peak_bytes}
    cost = RunCost(
        TrainerPlan(ranks=2, steps=1000, validations=10), 8, 512, 1, 0, step, memory, {}, 30, {"denoiser": 5e12}
    )
    assert cost.batch == 4
    assert cost.training_operations == 9e12 * 8 * 1000
    assert cost.validation_operations == 5e12 * 30 * 10
    assert cost.hours(50) == pytest.approx((72e15 + 1.5e15) / (2 * 50e12 * 3600))
    assert cost.fitting_batch(15 * 10**9 + CONTEXT_BYTES) == 6
    assert cost.fitting_batch(10**9) == 0


def test_ranks_that_cannot_share_a_step_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be shared evenly by 3 ranks"):
        cost_of(Denoiser(NETWORKS), _data(batch_size=8), TrainerPlan(ranks=3, steps=1))
