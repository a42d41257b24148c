import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from drip_lightning.cli.fit import run
from drip_lightning.errors import InputError
from drip_lightning.export.folder import write_pipeline_folder
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.matting import MattingStage
from drip_lightning.lit.resume.checkpoint_io import newest_checkpoint, read_checkpoint
from drip_lightning.lit.transparency import TransparencyDecoder
from drip_lightning.nn.fine_tuning import AttentionOnly
from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.nn.pretrained import FromScratch, StableDiffusion
from tests.networks import NETWORKS, fit, matting_batch, with_saved_vae
from tests.runs import tiny_arguments
from tests.sd2_folder import write_sd2_folder


def _trained(folder: Path) -> Mapping[str, Tensor]:
    return read_checkpoint(newest_checkpoint(folder))["state_dict"]


def _equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("stage", ["denoiser", pytest.param("transparency", marks=pytest.mark.slow)])
def test_a_run_starts_from_another_s_weights_and_counts_its_own_steps(
    synth: Path, runs: Path, tmp_path: Path, stage: str
) -> None:
    source = Path(shutil.copytree(runs / stage, tmp_path / "source"))
    at = (f"--trainer.default_root_dir={tmp_path / 'run'}", f"--model.start_from={source}")
    still = ("--model.optimizer.lr=0", "--trainer.max_steps=1", "--trainer.limit_val_batches=0")
    cli = run(tiny_arguments(stage, synth, runs, *at, *still))
    checkpoint = read_checkpoint(newest_checkpoint(tmp_path / "run"))
    assert checkpoint["global_step"] == 1
    assert {int(state["step"]) for state in checkpoint["optimizer_states"][0]["state"].values()} == {1}
    assert cli.datamodule.next_number == 2  # of batches of two
    assert _equal(checkpoint["state_dict"], _trained(runs / stage))

    shutil.rmtree(source)  # resuming needs it no more
    cli = run(tiny_arguments(stage, synth, runs, *at, *still, "--trainer.max_steps=2", "--ckpt_path=auto"))
    assert cli.trainer.global_step == 2


@pytest.mark.slow
@pytest.mark.parametrize("half", [False, True])
def test_a_run_starts_from_an_export(synth: Path, runs: Path, tmp_path: Path, half: bool) -> None:
    stage = MattingStage.from_checkpoint(runs / "denoiser")
    dtype = torch.float16 if half else torch.float32
    list(write_pipeline_folder(stage, tmp_path / "export", card="", dtype=dtype))
    at = (f"--trainer.default_root_dir={tmp_path / 'run'}", f"--model.start_from={tmp_path / 'export'}")
    run(tiny_arguments("denoiser", synth, runs, *at, "--model.optimizer.lr=0", "--trainer.max_steps=1"))
    found, expected = _trained(tmp_path / "run"), _trained(runs / "denoiser")
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        assert torch.equal(found[name], weight.to(dtype).float()), name


@pytest.fixture
def denoiser(tmp_path: Path) -> tuple[FromScratch, Path]:
    """Networks, and a run of a denoiser with them."""
    networks = with_saved_vae(tmp_path / "vae")
    _save(Denoiser(networks), tmp_path / "run")
    return networks, tmp_path / "run"


def _save(stage: MattingStage, folder: Path) -> MattingStage:
    fit(stage, [matting_batch(0)], folder).save_checkpoint(folder / "checkpoints" / "step=0000001.ckpt")
    return stage


def test_what_does_not_fit_is_one_line(denoiser: tuple[FromScratch, Path], tmp_path: Path) -> None:
    networks, source = denoiser
    torch.manual_seed(1)
    NETWORKS.new_vae().save_pretrained(tmp_path / "other" / "vae")
    other = replace(networks, vae=str(tmp_path / "other"))
    wide = replace(networks, unet_channels=(16, 48))
    velocity = NoiseSchedule(prediction_type="v_prediction")
    for stage, told in (
        (Denoiser(wide, start_from=str(source)), "does not fit the configured networks: "),
        (Denoiser(other, start_from=str(source)), "was trained on the latents of another autoencoder"),
        (
            Denoiser(networks, noise_schedule=velocity, start_from=str(source)),
            "contradicts the base's: ",
        ),
    ):
        with pytest.raises(InputError, match=told) as error:
            stage.configure_model()
        assert "\n" not in str(error.value)
    Denoiser(networks, noise_schedule=replace(velocity, base="replace"), start_from=str(source)).configure_model()


@pytest.mark.slow
def test_frozen_weights_are_those_it_started_from_not_the_base_s(tmp_path: Path) -> None:
    """A checkpoint leaves frozen weights to the base, unless the run started elsewhere."""
    networks = StableDiffusion(source=str(write_sd2_folder(tmp_path / "sd2")))
    first = _save(Denoiser(networks, optimizer=lambda weights: torch.optim.SGD(weights, lr=0.1)), tmp_path / "first")
    second = Denoiser(networks, fine_tuning=AttentionOnly(), start_from=str(tmp_path / "first"))
    _save(second, tmp_path / "second")
    frozen = {name for name, weight in second.joint_unet.named_parameters() if not weight.requires_grad}
    again = Denoiser.from_checkpoint(tmp_path / "second").joint_unet.state_dict()
    base = Denoiser(networks)
    base.build()
    start, untouched = first.joint_unet.state_dict(), base.joint_unet.state_dict()
    assert frozen
    assert all(torch.equal(again[name], start[name]) for name in frozen)
    assert any(not torch.equal(start[name], untouched[name]) for name in frozen)


@pytest.mark.slow
def test_a_decoder_starts_from_one_that_mended_a_denoiser_of_another_size(
    denoiser: tuple[FromScratch, Path], tmp_path: Path
) -> None:
    networks, source = denoiser
    _save(Denoiser(replace(networks, unet_channels=(16, 48))), tmp_path / "wide")
    first = _save(TransparencyDecoder(str(source), networks), tmp_path / "first")
    second = TransparencyDecoder(str(tmp_path / "wide"), networks, start_from=str(tmp_path / "first"))
    second.configure_model()
    assert _equal(second.latent_decoder.state_dict(), first.latent_decoder.state_dict())
    assert second.joint_unet.unet.config.block_out_channels == (16, 48)
