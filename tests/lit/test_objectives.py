from dataclasses import replace
from pathlib import Path

import pytest
import torch

from drip_lightning.errors import InputError
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.objectives import OneStep
from drip_lightning.lit.transparency import TransparencyDecoder
from drip_lightning.nn.fine_tuning import AttentionOnly, LoRA
from drip_lightning.nn.losses import MattingLoss
from drip_lightning.nn.noise import GaussianNoise, ZeroNoise
from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.nn.pretrained import FromScratch, StableDiffusion
from drip_lightning.ops.randomness import sample_generator
from tests.networks import NETWORKS, fit, matting_batch, shake, with_saved_vae
from tests.sd2_folder import write_sd2_folder

ZERO_SNR = NoiseSchedule(prediction_type="v_prediction", zero_terminal_snr=True)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> FromScratch:
    return with_saved_vae(tmp_path_factory.mktemp("autoencoder"))


def one_step(networks, **changes) -> Denoiser:
    settings = {"noise": ZeroNoise(), "noise_schedule": ZERO_SNR, "sampling_steps": 1, "objective": OneStep()}
    stage = Denoiser(networks=networks, **{**settings, **changes})
    torch.manual_seed(0)
    stage.configure_model()
    shake(stage.joint_unet)
    return stage


@pytest.mark.parametrize("noise", [ZeroNoise(), GaussianNoise()], ids=str)
@pytest.mark.parametrize("prediction_type", ["v_prediction", "sample"])
def test_the_training_loss_is_that_of_what_sampling_gives(networks, prediction_type, noise) -> None:
    """The sampler's one step, from the same noise, decoded: training and use cannot differ."""
    stage = one_step(networks, noise_schedule=replace(ZERO_SNR, prediction_type=prediction_type), noise=noise).eval()
    batch = matting_batch(3, 4)
    with torch.no_grad():
        loss = objective_loss(stage, batch)
        condition = stage.sampler.condition(batch["image"], batch["trimap"])
        latents = stage.sampler.sample(condition, steps=[1, 1], generators=stage_generators(stage, batch))
        foreground, alpha = stage.codec.decode(latents)
    truth = {"true_foreground": batch["foreground"], "true_alpha": batch["alpha"], "trimap": batch["trimap"]}
    torch.testing.assert_close(
        loss, MattingLoss()(foreground=foreground, alpha=alpha, **truth).total, atol=1e-4, rtol=1e-4
    )


def stage_generators(stage, batch):
    return [sample_generator(stage.seed, number, "diffusion") for number in batch["number"]]


def objective_loss(stage, batch):
    generators = stage_generators(stage, batch)
    return stage.objective(stage.sampler, batch, alphas_cumprod=stage.alphas_cumprod, generators=generators).total


def test_gradient_passes_through_the_frozen_decoder(networks) -> None:
    """Checked by a central difference of one weight, under the smooth part of the loss."""
    stage = one_step(networks, objective=OneStep(MattingLoss(l1=0, laplacian=0, gradient=0)))
    batch = matting_batch(1)
    objective_loss(stage, batch).backward()
    assert all(parameter.grad is None for parameter in stage.codec.parameters())
    weight = stage.joint_unet.unets[0].conv_out.bias
    losses = []
    for change in (1e-2, -2e-2):
        with torch.no_grad():
            weight[0] += change
            losses.append(float(objective_loss(stage, batch)))
    assert abs(weight.grad[0]) > 1e-4
    assert weight.grad[0] == pytest.approx((losses[0] - losses[1]) / 2e-2, rel=5e-2)


def test_several_steps_are_refused_wherever_they_are_asked_for(networks, tmp_path: Path) -> None:
    stage = one_step(networks)
    batch = matting_batch(1)
    with pytest.raises(InputError, match=r"trained for one step .* got 2"):
        stage.sampler(batch["image"], batch["trimap"], steps=2, generators=[torch.Generator()])
    fit(stage, [batch]).save_checkpoint(tmp_path / "last.ckpt")
    decoder = TransparencyDecoder(denoiser=str(tmp_path / "last.ckpt"), networks=NETWORKS, max_steps=4)
    decoder.configure_model()
    with pytest.raises(InputError, match="set the number of steps"):
        decoder.sample_latents(matting_batch(*range(9)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampling_steps": 10}, "OneStep with sampling_steps=10"),
        ({"noise_schedule": NoiseSchedule()}, "OneStep with zero_terminal_snr=false"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(changes, message) -> None:
    settings = {"noise": ZeroNoise(), "noise_schedule": ZERO_SNR, "sampling_steps": 1, "objective": OneStep()}
    with pytest.raises(InputError, match=message):
        Denoiser(networks=NETWORKS, **{**settings, **changes})
    with pytest.raises(InputError, match="Denoising with noise ZeroNoise"):
        Denoiser(networks=NETWORKS, noise=ZeroNoise())


@pytest.mark.parametrize("fine_tuning", [AttentionOnly(), LoRA(rank=2)], ids=str)
def test_checkpoints_leave_out_what_stayed_as_pretrained(fine_tuning, tmp_path: Path) -> None:
    networks = StableDiffusion(source=str(write_sd2_folder(tmp_path / "sd2")))
    stage = Denoiser(networks=networks, fine_tuning=fine_tuning, optimizer=lambda p: torch.optim.Adam(p, lr=1e-2))
    fit(stage, [matting_batch(0, size=64)], tmp_path).save_checkpoint(tmp_path / "last.ckpt")
    names = set(torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"])
    trained = {name for name, parameter in stage.named_parameters() if parameter.requires_grad}
    assert names == trained | {"joint_unet.prompt_embedding"}
    loaded = Denoiser.from_checkpoint(tmp_path)
    torch.testing.assert_close(loaded.state_dict(), stage.state_dict(), rtol=0, atol=0)


def test_a_random_unet_is_kept_whole_for_nothing_brings_it_back(networks, tmp_path: Path) -> None:
    stage = Denoiser(networks=networks, fine_tuning=AttentionOnly())
    fit(stage, [matting_batch(0)], tmp_path).save_checkpoint(tmp_path / "last.ckpt")
    loaded = Denoiser.from_checkpoint(tmp_path)
    torch.testing.assert_close(loaded.state_dict(), stage.state_dict(), rtol=0, atol=0)


def test_alpha_is_the_mean_or_the_first_of_the_decoded_channels(networks) -> None:
    latents = torch.randn(2, 4, 8, 8)
    stages = [Denoiser(networks=networks, alpha_decoding=name) for name in ("mean", "first")]
    for stage in stages:
        stage.configure_model()
    vae = stages[0].codec.vae
    channels = (vae.decode(latents / vae.config["scaling_factor"]).sample[1:] + 1) / 2
    (_, mean), (_, first) = (stage.codec.decode(latents) for stage in stages)
    torch.testing.assert_close(mean, channels.mean(dim=1, keepdim=True), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(first, channels[:, :1], atol=1e-5, rtol=1e-5)
