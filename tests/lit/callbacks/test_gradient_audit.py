from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from drip_lightning.cli.fit import run
from drip_lightning.errors import InputError, RunError
from drip_lightning.lit.callbacks.finite_guard import FiniteGuard
from drip_lightning.lit.callbacks.gradient_audit import GradientAudit, parameter_counts
from tests.runs import tiny_arguments


class _Chain(LightningModule):
    """`late` lies behind a zero-initialised layer, `cut` gets no gradient, `dead` a zero one, `wild` infinite ones."""

    def __init__(self, faults: tuple[str, ...] = (), poisoned: int = -1) -> None:
        super().__init__()
        self.late, self.zero = nn.Linear(2, 2), nn.Linear(2, 2)
        nn.init.zeros_(self.zero.weight)
        self.frozen = nn.Linear(3, 1).requires_grad_(False)
        for name in faults:
            self.register_parameter(name, nn.Parameter(torch.ones(2)))
        self.poisoned = poisoned

    def training_step(self, batch: dict, batch_index: int) -> Tensor:
        loss = (self.zero(self.late(batch["x"])) - 1).square().mean()
        if hasattr(self, "dead"):
            loss = loss + (0 * self.dead).sum()
        if hasattr(self, "wild"):
            loss = loss + (self.wild - 1).abs().sqrt().sum()  # at its kink
        return loss * (float("nan") if self.poisoned in batch["number"] else 1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([weight for weight in self.parameters() if weight.requires_grad], lr=0.1)


def _fit(module: LightningModule, *callbacks: Callback, steps: int = 6, **options: object) -> Trainer:
    batches = [{"x": torch.randn(2, 2), "number": [2 * step, 2 * step + 1]} for step in range(24)]
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(
        accelerator="cpu", max_steps=steps, callbacks=list(callbacks), enable_checkpointing=False, **quiet, **options
    )
    trainer.fit(module, DataLoader(batches, batch_size=None))
    return trainer


@pytest.mark.parametrize("accumulate_grad_batches", [1, 3])
def test_what_lies_behind_a_zero_layer_passes_from_the_second_step_on(accumulate_grad_batches: int) -> None:
    _fit(_Chain(), GradientAudit(steps=2), accumulate_grad_batches=accumulate_grad_batches)
    with pytest.raises(InputError, match=r"2 of 4 trained tensors .* in 1 steps: late\.weight, late\.bias; freeze"):
        _fit(_Chain(), GradientAudit(steps=1), accumulate_grad_batches=accumulate_grad_batches)


@pytest.mark.parametrize("fault", ["cut", "dead", "wild"])
def test_a_silent_weight_is_named(fault: str) -> None:
    with pytest.raises(InputError, match=f"1 of 5 trained tensors .* in 3 steps: {fault}; freeze") as error:
        _fit(_Chain(faults=(fault,)), GradientAudit(steps=3))
    assert "\n" not in str(error.value)
    with pytest.warns(UserWarning, match=f"in 3 steps: {fault}"):
        trainer = _fit(_Chain(faults=(fault,)), GradientAudit(steps=3, on_silence="warning"))
    assert trainer.global_step == 6


def test_a_shorter_run_gets_no_verdict() -> None:
    _fit(_Chain(faults=("cut",)), GradientAudit(steps=7))
    _fit(_Chain(faults=("cut",)), GradientAudit(steps=0))


def test_counts_by_hand() -> None:
    trained, frozen = parameter_counts(_Chain(faults=("cut",)))
    assert trained.startswith("trained: 14 parameters in 5 tensors (")
    assert "late.weight 4" in trained
    assert frozen == "frozen: 4 parameters in 2 tensors (frozen.weight 3, frozen.bias 1)"


@pytest.mark.parametrize("accumulate_grad_batches", [1, 2])
@pytest.mark.parametrize("log_every_n_steps", [1, 4, 50])
def test_a_loss_that_is_not_finite_stops_by_the_batchs_samples(log_every_n_steps: int, accumulate_grad_batches) -> None:
    options = {"log_every_n_steps": log_every_n_steps, "accumulate_grad_batches": accumulate_grad_batches}
    with pytest.raises(
        RunError, match=r"is not finite; samples 6, 7: .* `drip data show --config .*config.yaml --sample 6`"
    ) as error:
        _fit(_Chain(poisoned=7), FiniteGuard(), **options)
    assert "\n" not in str(error.value)
    assert f"step {4 // accumulate_grad_batches} " in str(error.value)


class _SaveAt(Callback):
    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: Trainer, *args: object) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    _fit(_Chain(poisoned=7), FiniteGuard(), _SaveAt(3, tmp_path / "good.ckpt"), steps=3, log_every_n_steps=50)
    assert (tmp_path / "good.ckpt").exists()
    with pytest.raises(RunError, match="weights are not finite at step 4, so they are not saved; samples 6, 7"):
        _fit(_Chain(poisoned=7), FiniteGuard(), _SaveAt(4, tmp_path / "bad.ckpt"), log_every_n_steps=50)
    assert not (tmp_path / "bad.ckpt").exists()


def test_a_run_that_diverges_leaves_its_last_sound_checkpoint(synth: Path, tmp_path: Path) -> None:
    """Through `drip fit`: the learning rate blows the weights up; what is on disk afterwards is finite."""
    more = (
        "--model.init_args.optimizer.init_args.lr=1e30",
        "--trainer.max_steps=6",
        "--checkpoint.every_n_train_steps=1",
    )
    with pytest.raises(RunError, match="not finite"):
        run(tiny_arguments("autoencoder", synth, tmp_path, *more, "--trainer.log_every_n_steps=2"))
    saved = [torch.load(path, weights_only=True) for path in (tmp_path / "autoencoder" / "checkpoints").glob("*.ckpt")]
    assert saved
    assert all(weight.isfinite().all() for checkpoint in saved for weight in checkpoint["state_dict"].values())
