from dataclasses import dataclass, replace

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from torch import Tensor, nn

from drip_lightning.nn.attention import CrossDomainAttention
from drip_lightning.nn.latents import LatentCodec
from drip_lightning.nn.noise import AnnealedMultiResolutionNoise, GaussianNoise
from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.nn.sampler import KnownPixels, MattingSampler
from drip_lightning.nn.skip_decoder import SkipDecoderModule
from drip_lightning.nn.switcher import PosEncSwitcher
from drip_lightning.nn.transparency import LatentDecoder, UNetDecoderModule, VaeDecoderModule
from drip_lightning.ops.domains import stack_domains
from drip_lightning.ops.prediction import prediction_target
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
    """A denoiser that reads the true latents off the condition and answers what a perfectly trained one would."""

    schedule: NoiseSchedule
    size_multiple: int = 1

    def __call__(self, noisy: Tensor, condition: Tensor, timestep: Tensor) -> Tensor:
        truth = stack_domains(*condition.chunk(2, dim=1))
        alphas_cumprod = self.schedule.alphas_cumprod()[stack_domains(timestep, timestep)]
        scales = alphas_cumprod.sqrt().view(-1, 1, 1, 1), (1 - alphas_cumprod).sqrt().view(-1, 1, 1, 1)
        noise = (noisy - scales[0] * truth) / scales[1]
        return prediction_target(self.schedule.prediction_type, truth, noise, alphas_cumprod)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def sampler(decoder: LatentDecoder | None = None, joint_unet: nn.Module | Oracle | None = None, **schedule):
    if joint_unet is None:
        prompt = torch.randn(1, 2, 8, generator=torch.Generator().manual_seed(1))
        joint_unet = PosEncSwitcher().build(tiny_unet(), prompt, attention=CrossDomainAttention()).eval()
        shake(joint_unet.unet.class_embedding)
    return MattingSampler(
        codec=LatentCodec(tiny_vae()),
        joint_unet=joint_unet,
        noise=AnnealedMultiResolutionNoise(),
        schedule=NoiseSchedule(**schedule),
        decoder=decoder or VaeDecoderModule(),
    )


@torch.no_grad()
@pytest.mark.parametrize("steps", [(1, 1), (2, 2), (10, 10), (1, 10), (7, 3)])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda one: f"{one.prediction_type}-{one.zero_terminal_snr}")
def test_a_perfect_denoiser_gives_the_true_latents(schedule, steps) -> None:
    foreground, alpha = torch.randn(2, 2, 4, 6, 5, generator=torch.Generator().manual_seed(0))
    whole = sampler(joint_unet=Oracle(schedule), **vars(schedule))
    sampled = whole.sample(torch.cat([foreground, alpha], dim=1), steps=steps, generators=generators(1, 2))
    torch.testing.assert_close(sampled, stack_domains(foreground, alpha), atol=2e-3, rtol=1e-3)


@torch.no_grad()
def test_a_perfect_denoiser_gives_the_decoded_truth() -> None:
    """From latents to the matte: where the trimap does not know better, what the VAE decodes from the true latents."""
    batch = matting_batch(0, 1)
    whole = sampler(joint_unet=Oracle(NoiseSchedule()))
    matte = whole(batch["image"], batch["trimap"], steps=3, generators=generators(0, 1))
    foreground, alpha = whole.codec.decode(stack_domains(*whole.codec.encode(batch["image"], batch["trimap"])))
    unknown = batch["trimap"] == 0.5
    torch.testing.assert_close(matte.alpha[unknown], alpha.clamp(0, 1)[unknown], atol=1e-3, rtol=0)
    changed = (batch["trimap"] < 1).expand_as(foreground)
    torch.testing.assert_close(matte.foreground[changed], foreground.clamp(0, 1)[changed], atol=1e-3, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_equals_diffusers_own_loop(prediction_type) -> None:
    """Both samples' steps, taken side by side, are those of DPM-Solver++ run for each alone."""
    whole = sampler(prediction_type=prediction_type)
    condition = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    sampled = whole.sample(condition, steps=(5, 2), generators=generators(1, 2))
    for place, steps in enumerate((5, 2)):
        solver = DPMSolverMultistepScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type=prediction_type,
            timestep_spacing="trailing",
        )
        solver.set_timesteps(steps)
        latents = whole.noise.draw_pairs((4, 4, 4), strengths=[1.0], generators=generators(place + 1))
        for timestep in solver.timesteps:
            prediction = whole.joint_unet(latents, condition[place : place + 1], timestep[None])
            latents = solver.step(prediction, timestep, latents).prev_sample
        torch.testing.assert_close(sampled[place::2], latents, atol=1e-4, rtol=1e-4)


def test_a_picture_does_not_depend_on_its_batch() -> None:
    whole = sampler(prediction_type="v_prediction")
    batch, alone = matting_batch(3, 4, 5), matting_batch(4)
    together = whole(batch["image"], batch["trimap"], steps=3, generators=generators(3, 4, 5))
    single = whole(alone["image"], alone["trimap"], steps=3, generators=generators(4))
    torch.testing.assert_close(together.alpha[1:2], single.alpha, atol=1e-4, rtol=0)
    torch.testing.assert_close(together.foreground[1:2], single.foreground, atol=1e-4, rtol=0)
    other = whole(alone["image"], alone["trimap"], steps=3, generators=generators(5))
    assert (single.foreground - other.foreground).abs().amax() > 1e-2  # the generator, not only the picture, decides


@pytest.mark.parametrize(
    "decoder", [VaeDecoderModule(), UNetDecoderModule((8, 8, 8, 8), latent_level=1)], ids=["vae", "unet"]
)
@pytest.mark.parametrize("size", [(37, 53), (1, 1), (16, 16), (5, 40)])
def test_any_size_is_padded_and_cropped_back(decoder, size) -> None:
    """The matte equals the upper left of what the padded picture gives."""
    height, width = size
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, height, width, generator=generator)
    trimap = torch.randint(3, (1, 1, height, width), generator=generator) / 2
    whole = sampler(decoder)
    matte = whole(image, trimap, steps=1, generators=generators(0))
    assert matte.alpha.shape == trimap.shape
    assert matte.foreground.shape == image.shape
    multiple = whole.multiples.picture(1)
    more = (0, -width % multiple, 0, -height % multiple)
    padded = whole(
        nn.functional.pad(image, more, mode="replicate"),
        nn.functional.pad(trimap, more, mode="replicate"),
        steps=1,
        generators=generators(0),
    )
    torch.testing.assert_close(matte.alpha, padded.alpha[..., :height, :width])
    torch.testing.assert_close(matte.foreground, padded.foreground[..., :height, :width])


@pytest.mark.parametrize(("kinds", "expected"), [("s", 1), ("u", 1), ("v", 1), ("vu", 1), ("vs", 2)])
def test_the_vae_decodes_once_for_all_that_want_its_pictures(kinds, expected) -> None:
    """What the skip decoder adds inside of the VAE's decoder takes a pass of its own, and no other."""
    whole = sampler()
    choices = {
        "v": VaeDecoderModule(),
        "u": UNetDecoderModule((8, 8), latent_level=1),
        "s": SkipDecoderModule.of(whole.codec),
    }
    passes = []
    whole.codec.vae.decoder.conv_in.register_forward_hook(lambda *_: passes.append(1))
    batch = matting_batch(0)
    decoders = [choices[kind] for kind in kinds]
    mattes = whole.compare(batch["image"], batch["trimap"], decoders, steps=1, generators=generators(0))
    assert len(passes) == expected
    for matte in mattes[1:]:  # untrained, all start from the VAE's
        torch.testing.assert_close(matte.alpha, mattes[0].alpha, atol=1e-5, rtol=0)


def test_multiples_serve_all_three_networks() -> None:
    # VAE 2 × denoiser 2 = 4; a decoder of four levels wants 8
    assert sampler().multiples.picture(1) == 4
    assert sampler(UNetDecoderModule((8, 8, 8, 8), latent_level=1)).multiples.picture(1) == 8


def test_sure_pixels_are_kept() -> None:
    batch = matting_batch(0, 1)
    matte = sampler()(batch["image"], batch["trimap"], steps=2, generators=generators(0, 1))
    trimap = batch["trimap"]
    assert torch.equal(matte.alpha[trimap != 0.5], trimap[trimap != 0.5])
    sure = (trimap == 1).expand_as(batch["image"])
    assert sure.any()
    assert torch.equal(matte.foreground[sure], batch["image"][sure])
    assert not torch.equal(matte.foreground[~sure], batch["image"][~sure])
    for picture in (matte.alpha, matte.foreground):
        assert 0 <= picture.min() <= picture.max() <= 1


@pytest.mark.parametrize(("alpha", "foreground"), [("predicted", "image"), ("trimap", "predicted")])
def test_what_is_known_may_be_predicted_all_the_same(alpha: str, foreground: str) -> None:
    """Each alone, and elsewhere nothing changes: the pictures are small enough to be worked on whole either way."""
    batch, kept = matting_batch(0, 1), sampler()
    predicted = replace(kept, known=KnownPixels(alpha, foreground))
    given = batch["image"], batch["trimap"]
    one, other = (each(*given, steps=2, generators=generators(0, 1)) for each in (kept, predicted))
    sure, unknown = batch["trimap"] != 0.5, (batch["trimap"] == 0.5).expand_as(batch["image"])
    object_ = (batch["trimap"] == 1).expand_as(batch["image"])
    assert torch.equal(one.alpha[~sure], other.alpha[~sure])
    assert torch.equal(one.foreground[unknown], other.foreground[unknown])
    assert torch.equal(other.alpha[sure], batch["trimap"][sure]) == (alpha == "trimap")
    assert torch.equal(other.foreground[object_], batch["image"][object_]) == (foreground == "image")


def test_a_picture_without_anything_unknown_is_predicted_if_told_so() -> None:
    batch = matting_batch(0)
    trimap = torch.zeros_like(batch["trimap"])
    matte = replace(sampler(), known=KnownPixels("predicted"))(batch["image"], trimap, generators=generators(0))
    assert matte.alpha.any()


def test_sampling_starts_from_the_noise_that_is_told() -> None:
    """Plain Gaussian noise is drawn as it would be were the denoiser trained with it."""
    trained = sampler()
    plain = replace(trained, inference_noise=GaussianNoise())
    own = replace(trained, noise=GaussianNoise())
    start, expected, other = (each.starting_noise((4, 4), generators(0)) for each in (plain, own, trained))
    assert torch.equal(start, expected)
    assert not torch.equal(start, other)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "decoder", [VaeDecoderModule(), UNetDecoderModule((8, 8), latent_level=1)], ids=["vae", "unet"]
)
def test_mixed_precision_gives_nearly_the_same_matte(decoder, dtype) -> None:
    batch = matting_batch(0)
    whole = sampler(decoder, prediction_type="sample")
    exact = whole(batch["image"], batch["trimap"], steps=4, generators=generators(0))
    with torch.autocast("cpu", dtype=dtype):
        mixed = whole(batch["image"], batch["trimap"], steps=4, generators=generators(0))
    assert mixed.alpha.dtype == mixed.foreground.dtype == torch.float32
    torch.testing.assert_close(mixed.alpha, exact.alpha, atol=0.05, rtol=0)
    torch.testing.assert_close(mixed.foreground, exact.foreground, atol=0.05, rtol=0)
