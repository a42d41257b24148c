import logging
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from drip_lightning.cli.fit import run
from drip_lightning.errors import InputError
from drip_lightning.lit.autoencoder import Autoencoder
from drip_lightning.lit.averaging import EMA, AveragedWeights, NoAveraging
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.resume.checkpoint_io import newest_checkpoint, read_checkpoint
from drip_lightning.nn.fine_tuning import AttentionOnly
from tests.networks import NETWORKS, fit, matting_batch, with_saved_vae
from tests.runs import CONFIGS, tiny_arguments

BATCHES = [matting_batch(2 * step, 2 * step + 1) for step in range(5)]


def autoencoder(decay: float = 0.5) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(networks=NETWORKS, averaging=EMA(decay), optimizer=lambda p: torch.optim.Adam(p, lr=1e-2))


def _copy(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in weights.items()}


def _saved(stage: Autoencoder, folder: Path, steps: int, ckpt_path: Path | None = None) -> dict:
    trainer = fit(stage, BATCHES[:steps], folder, ckpt_path=ckpt_path)
    trainer.save_checkpoint(folder / "last.ckpt")
    return torch.load(folder / "last.ckpt", weights_only=True)


def test_averages_by_hand(tmp_path: Path) -> None:
    """`min(decay, (1 + n) / (10 + n))` from the starting weights on, step by step, in double precision."""
    stage = autoencoder(decay=0.25)
    stage.configure_model()
    seen: list[dict[str, Tensor]] = []
    stage.on_train_batch_end = lambda *_: seen.append(_copy(dict(stage.named_parameters())))
    expected = {name: weight.double() for name, weight in _copy(dict(stage.named_parameters())).items()}
    checkpoint = _saved(stage, tmp_path, 4)
    for decay, weights in zip((2 / 11, 3 / 12, 0.25, 0.25), seen, strict=True):
        expected = {name: decay * expected[name] + (1 - decay) * weights[name] for name in expected}
    assert checkpoint["averages"]["updates"] == 4
    for name, average in checkpoint["averages"]["weights"].items():
        assert average.dtype == torch.float32
        torch.testing.assert_close(average, expected[name].float(), atol=1e-6, rtol=1e-5)


def test_only_trained_weights_are_averaged_and_frozen_ones_not_copied(tmp_path: Path) -> None:
    networks = with_saved_vae(tmp_path)
    stage = Denoiser(networks=networks, averaging=EMA(), fine_tuning=AttentionOnly())
    fit(stage, BATCHES[:1], tmp_path).save_checkpoint(tmp_path / "last.ckpt")
    averages = torch.load(tmp_path / "last.ckpt", weights_only=True)["averages"]["weights"]
    trained = {name for name, parameter in stage.named_parameters() if parameter.requires_grad}
    assert set(averages) == trained
    assert not any("resnets" in name or name.startswith("codec") for name in averages)
    assert any("attn1" in name for name in averages)


@pytest.mark.slow
def test_a_resumed_run_has_the_averages_of_one_that_never_stopped(synth: Path, tmp_path: Path) -> None:
    more = (f"--config={CONFIGS / 'ablation' / 'ema.yaml'}", "--trainer.limit_val_batches=1", "--panels.count=0")

    def averaged_run(runs: Path, steps: int) -> dict:
        run(tiny_arguments("autoencoder", synth, runs, *more, f"--trainer.max_steps={steps}", "--ckpt_path=auto"))
        checkpoint = read_checkpoint(newest_checkpoint(runs / "autoencoder"))
        assert checkpoint["averages"]["updates"] == steps
        return {"averages": checkpoint["averages"]["weights"], "weights": checkpoint["state_dict"]}

    averaged_run(tmp_path / "stopped", 2)
    resumed = averaged_run(tmp_path / "stopped", 4)
    torch.testing.assert_close(resumed, averaged_run(tmp_path / "whole", 4), rtol=0, atol=0)


def test_what_comes_after_training_uses_the_averages_and_says_so(tmp_path: Path, caplog) -> None:
    checkpoint = _saved(autoencoder(), tmp_path, 3)
    with caplog.at_level(logging.INFO):
        loaded = Autoencoder.from_checkpoint(tmp_path)
    assert "weights are averages of 3 steps" in caplog.text
    assert loaded.weights == "averages of 3 steps"
    for name, weight in loaded.named_parameters():
        assert torch.equal(weight, checkpoint["averages"]["weights"][name])
        assert not torch.equal(weight, checkpoint["state_dict"][name])
    plain = Autoencoder(networks=NETWORKS)
    fit(plain, BATCHES[:1], tmp_path / "plain").save_checkpoint(tmp_path / "plain.ckpt")
    assert Autoencoder.from_checkpoint(tmp_path / "plain.ckpt").weights == "of the last step, not averaged"
    assert plain.averaging == NoAveraging()


def test_the_autoencoder_that_is_written_is_the_averaged_one(tmp_path: Path) -> None:
    checkpoint = _saved(autoencoder(), tmp_path, 2)
    written = with_saved_vae(tmp_path / "other").trained_vae().from_pretrained(tmp_path / "pretrained" / "vae")
    for name, weight in written.named_parameters():
        assert torch.equal(weight, checkpoint["averages"]["weights"][f"vae.{name}"]), name


def test_accumulated_batches_count_once(tmp_path: Path) -> None:
    stage = autoencoder()
    checkpoint = _fit_accumulating(stage, tmp_path)
    assert checkpoint["averages"]["updates"] == checkpoint["global_step"] == 2


def _fit_accumulating(stage: Autoencoder, folder: Path) -> dict:
    trainer = Trainer(
        max_steps=2, accumulate_grad_batches=2, accelerator="cpu", default_root_dir=folder, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(stage, DataLoader(BATCHES[:4], batch_size=None))  # type: ignore[arg-type]
    trainer.save_checkpoint(folder / "last.ckpt")
    return torch.load(folder / "last.ckpt", weights_only=True)


def test_validation_sees_the_averages_and_training_goes_on_with_the_weights(tmp_path: Path) -> None:
    """Also a checkpoint written in the middle of a validation holds the weights as such."""
    stage = autoencoder()
    keeper = AveragedWeights(0.5)
    stage.configure_model()
    keeper.on_fit_start(None, stage)  # type: ignore[arg-type]
    average = _copy(keeper.averages)
    with torch.no_grad():
        for weight in stage.parameters():
            weight += 1
    weights = _copy(dict(stage.named_parameters()))
    keeper.on_validation_start(None, stage)  # type: ignore[arg-type]
    torch.testing.assert_close(dict(stage.named_parameters()), average, rtol=0, atol=0)
    checkpoint = {"state_dict": dict(stage.state_dict())}
    keeper.on_save_checkpoint(None, stage, checkpoint)  # type: ignore[arg-type]
    for name, weight in weights.items():
        assert torch.equal(checkpoint["state_dict"][name], weight)
    keeper.on_validation_end(None, stage)  # type: ignore[arg-type]
    torch.testing.assert_close(dict(stage.named_parameters()), weights, rtol=0, atol=0)


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_what_is_no_decay_is_refused(decay: float) -> None:
    with pytest.raises(InputError, match=r"averaging\.decay"):
        EMA(decay)
