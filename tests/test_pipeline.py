from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from drip_lightning.nn.joint_unet import JointUNet
from drip_lightning.nn.latents import LatentCodec
from drip_lightning.nn.noise import AnnealedMultiResolutionNoise
from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.nn.transparency import LatentDecoder, TransparencyUNet, VaeDecoder
from drip_lightning.ops.domains import stack_domains
from drip_lightning.ops.prediction import prediction_target
from drip_lightning.pipeline import MattingPipeline, sample_latents
from tests.networks import matting_batch, shake, tiny_unet, tiny_vae

SCHEDULES = [
    NoiseSchedule(prediction_type="epsilon"),
    NoiseSchedule(prediction_type="v_prediction"),
    NoiseSchedule(prediction_type="sample"),
    NoiseSchedule(prediction_type="v_prediction", zero_terminal_snr=True),
    NoiseSchedule(prediction_type="sample", zero_terminal_snr=True),
]


@dataclass
class Oracle:
    """A denoiser that knows the true latents: it answers what a perfectly trained one would."""

    latents: Tensor
    schedule: NoiseSchedule
    size_multiple: int = 1

    def __call__(self, noisy: Tensor, condition: Tensor, timestep: Tensor) -> Tensor:
        level = self.schedule.alphas_cumprod()[stack_domains(timestep, timestep)]
        scales = level.sqrt().view(-1, 1, 1, 1), (1 - level).sqrt().view(-1, 1, 1, 1)
        noise = (noisy - scales[0] * self.latents) / scales[1]
        return prediction_target(self.schedule.prediction_type, self.latents, noise, level)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def pipeline(decoder: LatentDecoder | None = None, joint_unet: nn.Module | Oracle | None = None, **schedule):
    if joint_unet is None:
        joint_unet = JointUNet(tiny_unet(), torch.randn(1, 2, 8, generator=torch.Generator().manual_seed(1))).eval()
        shake(joint_unet.unet.class_embedding)
    return MattingPipeline(
        codec=LatentCodec(tiny_vae()),
        joint_unet=joint_unet,
        noise=AnnealedMultiResolutionNoise(),
        schedule=NoiseSchedule(**schedule),
        decoder=decoder or VaeDecoder(),
    )


@torch.no_grad()
@pytest.mark.parametrize("steps", [1, 2, 10])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.prediction_type)
def test_a_perfect_denoiser_gives_the_true_latents(schedule, steps) -> None:
    truth = torch.randn(4, 4, 6, 5, generator=torch.Generator().manual_seed(0))
    whole = pipeline(
        joint_unet=Oracle(truth, schedule),
        prediction_type=schedule.prediction_type,
        zero_terminal_snr=schedule.zero_terminal_snr,
    )
    sampled = whole.sample(torch.zeros(2, 8, 6, 5), steps=steps, generators=generators(1, 2))
    torch.testing.assert_close(sampled, truth, atol=2e-3, rtol=1e-3)


@torch.no_grad()
def test_a_perfect_denoiser_gives_the_decoded_truth() -> None:
    """From latents to the matte: where the trimap is unknown, what the VAE decodes from the true latents."""
    batch = matting_batch(0, 1)
    schedule = NoiseSchedule()
    codec = pipeline().codec
    truth = stack_domains(*codec.encode(batch["foreground"], batch["alpha"]))
    matte = pipeline(joint_unet=Oracle(truth, schedule))(
        batch["image"], batch["trimap"], steps=3, generators=generators(0, 1)
    )
    foreground, alpha = codec.decode(truth)
    unknown = batch["trimap"] == 0.5
    torch.testing.assert_close(matte.alpha[unknown], alpha.clamp(0, 1)[unknown], atol=1e-3, rtol=0)
    changed = (batch["trimap"] < 1).expand_as(foreground)
    torch.testing.assert_close(matte.foreground[changed], foreground.clamp(0, 1)[changed], atol=1e-3, rtol=0)


def test_a_picture_does_not_depend_on_its_batch() -> None:
    whole = pipeline(prediction_type="v_prediction")
    batch, alone = matting_batch(3, 4, 5), matting_batch(4)
    together = whole(batch["image"], batch["trimap"], steps=3, generators=generators(3, 4, 5))
    single = whole(alone["image"], alone["trimap"], steps=3, generators=generators(4))
    torch.testing.assert_close(together.alpha[1:2], single.alpha, atol=1e-4, rtol=0)
    torch.testing.assert_close(together.foreground[1:2], single.foreground, atol=1e-4, rtol=0)
    other = whole(alone["image"], alone["trimap"], steps=3, generators=generators(5))
    assert (single.foreground - other.foreground).abs().amax() > 1e-2  # the generator, not only the picture, decides


@pytest.mark.parametrize("decoder", [VaeDecoder(), TransparencyUNet((8, 8, 8, 8), latent_level=1)], ids=["vae", "unet"])
@pytest.mark.parametrize("size", [(37, 53), (1, 1), (16, 16), (5, 40)])
def test_any_size_is_padded_and_cropped_back(decoder, size) -> None:
    """The matte equals the upper left of what the padded picture gives."""
    height, width = size
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, height, width, generator=generator)
    trimap = torch.randint(3, (1, 1, height, width), generator=generator) / 2
    whole = pipeline(decoder)
    matte = whole(image, trimap, steps=1, generators=generators(0))
    assert matte.alpha.shape == trimap.shape
    assert matte.foreground.shape == image.shape
    more = (0, -width % whole.size_multiple, 0, -height % whole.size_multiple)
    padded = whole(
        nn.functional.pad(image, more, mode="replicate"),
        nn.functional.pad(trimap, more, mode="replicate"),
        steps=1,
        generators=generators(0),
    )
    torch.testing.assert_close(matte.alpha, padded.alpha[..., :height, :width])
    torch.testing.assert_close(matte.foreground, padded.foreground[..., :height, :width])


def test_size_multiple_serves_all_three_networks() -> None:
    # VAE 2 × denoiser 2 = 4; a decoder of four levels wants 8
    assert pipeline().size_multiple == 4
    assert pipeline(TransparencyUNet((8, 8, 8, 8), latent_level=1)).size_multiple == 8


def test_sure_pixels_are_kept() -> None:
    batch = matting_batch(0, 1)
    matte = pipeline()(batch["image"], batch["trimap"], steps=2, generators=generators(0, 1))
    trimap = batch["trimap"]
    assert torch.equal(matte.alpha[trimap != 0.5], trimap[trimap != 0.5])
    sure = (trimap == 1).expand_as(batch["image"])
    assert sure.any()
    assert torch.equal(matte.foreground[sure], batch["image"][sure])
    assert not torch.equal(matte.foreground[~sure], batch["image"][~sure])
    for picture in (matte.alpha, matte.foreground):
        assert 0 <= picture.min() <= picture.max() <= 1


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_steps_out_of_range_are_refused(steps) -> None:
    with pytest.raises(ValueError, match=f"steps: expected 1 to 1000, got {steps}"):
        sample_latents(lambda noisy, timestep: noisy, torch.zeros(1), NoiseSchedule(), steps=steps)


@pytest.mark.parametrize("steps", [1, 4, 10])
def test_the_denoiser_runs_as_often_as_asked(steps) -> None:
    timesteps: list[int] = []

    def denoise(noisy: Tensor, timestep: Tensor) -> Tensor:
        timesteps.append(int(timestep))
        return noisy

    sample_latents(denoise, torch.randn(1, 4, 2, 2), NoiseSchedule(), steps=steps)
    assert timesteps == [round(1000 - place * 1000 / steps) - 1 for place in range(steps)]


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("decoder", [VaeDecoder(), TransparencyUNet((8, 8), latent_level=1)], ids=["vae", "unet"])
def test_mixed_precision_gives_nearly_the_same_matte(decoder, dtype) -> None:
    batch = matting_batch(0)
    whole = pipeline(decoder, prediction_type="sample")
    exact = whole(batch["image"], batch["trimap"], steps=4, generators=generators(0))
    with torch.autocast("cpu", dtype=dtype):
        mixed = whole(batch["image"], batch["trimap"], steps=4, generators=generators(0))
    assert mixed.alpha.dtype == mixed.foreground.dtype == torch.float32
    torch.testing.assert_close(mixed.alpha, exact.alpha, atol=0.05, rtol=0)
    torch.testing.assert_close(mixed.foreground, exact.foreground, atol=0.05, rtol=0)
