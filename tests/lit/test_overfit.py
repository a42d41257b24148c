"""The stages one after the other, on a single sample: it must come out again."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from drip_lightning.data.sample import MattingBatch
from drip_lightning.lit.autoencoder import Autoencoder
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.nn.pretrained import FromScratch
from tests.networks import fit, matting_batch

AUTOENCODER_STEPS, DENOISER_STEPS = 100, 70


def same_sample(step: int, count: int = 1) -> MattingBatch:
    """Sample 3 with other sample numbers, so that every step draws other timesteps and noises."""
    batch = matting_batch(*[3] * count, size=32)
    batch["number"] = [count * step + place for place in range(count)]
    return batch


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> FromScratch:
    """Small networks with an autoencoder that the first stage trained on the sample."""
    folder: Path = tmp_path_factory.mktemp("autoencoder")
    sizes = FromScratch(
        vae_channels=(16, 32),
        unet_channels=(32, 64),
        unet_layers_per_block=1,
        attention_head_width=16,
        prompt_channels=8,
        norm_groups=4,
    )
    torch.manual_seed(0)
    stage = Autoencoder(networks=sizes, optimizer=lambda parameters: torch.optim.Adam(parameters, lr=3e-3))
    fit(stage, [same_sample(step) for step in range(AUTOENCODER_STEPS)], folder)
    return replace(sizes, vae=str(folder / "pretrained"))


@pytest.mark.slow
@torch.no_grad()
def test_the_first_stage_leaves_latents_of_unit_variance_that_decode_to_the_sample(networks) -> None:
    vae = networks.trained_vae()
    batch = same_sample(0)
    pictures = torch.cat([batch[name].expand(-1, 3, -1, -1) for name in ("trimap", "alpha", "foreground", "image")])
    latent = vae.encode(2 * pictures - 1).latent_dist.mode()
    assert latent.var() > 2  # so that the scale matters
    assert (latent * vae.config["scaling_factor"]).var() == pytest.approx(1, abs=0.3)
    decoded = (vae.decode(latent).sample + 1) / 2
    # the image's background alternates from pixel to pixel, which these few steps do not teach
    assert (decoded - pictures)[:3].abs().mean() < 0.03


def test_a_denoiser_overfitted_on_one_sample_gives_its_matte(networks) -> None:
    stage = Denoiser(
        networks=networks,
        noise_schedule=NoiseSchedule(prediction_type="sample", zero_terminal_snr=True),
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=3e-3),
        lr_scheduler=lambda optimizer: torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, DENOISER_STEPS),
    )
    torch.manual_seed(0)
    fit(stage, [same_sample(step, count=2) for step in range(DENOISER_STEPS)])
    batch = same_sample(0)
    unknown = batch["trimap"] == 0.5
    trivial = (batch["trimap"] - batch["alpha"])[unknown].abs().mean()
    assert trivial > 0.2  # what leaving the unknown region at 0.5 costs
    stage.eval()
    for steps in (1, 10):
        noise = [torch.Generator().manual_seed(steps)]
        matte = stage.sampler(batch["image"], batch["trimap"], steps=steps, generators=noise)
        assert (matte.alpha - batch["alpha"])[unknown].abs().mean() < 0.05
        assert (batch["alpha"] * (matte.foreground - batch["foreground"])).abs().mean() < 0.02
