import pytest
import torch
from torch import Tensor

from drip_lightning.nn.latents import LatentCodec, from_vae_range, stack_for_vae
from tests.networks import tiny_vae


@pytest.fixture
def codec() -> LatentCodec:
    vae = tiny_vae()
    vae.register_to_config(scaling_factor=0.3)
    return LatentCodec(vae)


def pictures(*channels: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(2, count, 8, 12, generator=generator) for count in channels]


def spy(module: torch.nn.Module) -> list[Tensor]:
    """Collect the outputs of a module's calls."""
    outputs: list[Tensor] = []
    module.register_forward_hook(lambda module, args, output: outputs.append(output))
    return outputs


@torch.no_grad()
def test_all_maps_are_encoded_in_one_call_to_their_scaled_mode(codec) -> None:
    maps = pictures(3, 1, 3, 1)
    calls = spy(codec.vae.encoder)
    latents = codec.encode(*maps)
    assert len(calls) == 1
    assert len(latents) == 4
    for picture, latent in zip(maps, latents, strict=True):
        # by hand, one map alone: [-1, 1], encoder, quant_conv, the first half of the channels is the mean
        moments = codec.vae.quant_conv(codec.vae.encoder(2 * picture.repeat(1, 3 // picture.shape[1], 1, 1) - 1))
        torch.testing.assert_close(latent, 0.3 * moments[:, :4], atol=1e-5, rtol=1e-5)
        assert moments[:, 4:].exp().mean() > 1e-3  # a sample of the posterior would differ


@torch.no_grad()
def test_large_batches_go_through_in_slices_and_nothing_changes(codec, monkeypatch) -> None:
    maps = pictures(3, 1, 3)
    whole = codec.encode(*maps)
    decoded = codec.decode(torch.cat(whole[:2]))
    encoded_at_once, decoded_at_once = spy(codec.vae.encoder), spy(codec.vae.decoder)
    monkeypatch.setattr("drip_lightning.nn.latents.CPU_PIXELS_AT_ONCE", 4 * 8 * 12 + 5)
    torch.testing.assert_close(codec.encode(*maps), whole, atol=1e-6, rtol=1e-5)
    monkeypatch.setattr("drip_lightning.nn.latents.CPU_PIXELS_AT_ONCE", 1)
    torch.testing.assert_close(codec.decode(torch.cat(whole[:2])), decoded, atol=1e-6, rtol=1e-5)
    assert [len(output) for output in encoded_at_once] == [4, 2]
    assert [len(output) for output in decoded_at_once] == [1, 1, 1, 1]


def test_latents_can_be_trained_on(codec) -> None:
    """They come out of inference mode as ordinary tensors: autograd may keep them for the backward pass."""
    (latent,) = codec.encode(*pictures(3))
    weight = torch.ones(4, 4, 1, 1, requires_grad=True)
    torch.nn.functional.conv2d(latent, weight).sum().backward()
    torch.testing.assert_close(weight.grad[0, :, 0, 0], latent.sum(dim=(0, 2, 3)))


@torch.no_grad()
def test_decoding_undoes_the_scale_and_averages_alpha(codec) -> None:
    latents = torch.randn(4, 4, 3, 5)
    calls = spy(codec.vae.decoder)
    foreground, alpha = codec.decode(latents)
    assert len(calls) == 1
    by_hand = (codec.vae.decoder(codec.vae.post_quant_conv(latents / 0.3)) + 1) / 2
    torch.testing.assert_close(foreground, by_hand[:2], atol=1e-5, rtol=1e-5)
    mean = (by_hand[2:, :1] + by_hand[2:, 1:2] + by_hand[2:, 2:]) / 3
    torch.testing.assert_close(alpha, mean, atol=1e-5, rtol=1e-5)


def test_pixel_range_round_trip_by_hand() -> None:
    colour, grey = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1), torch.full((1, 1, 1, 1), 0.75)
    stacked = stack_for_vae(colour, grey)
    assert stacked.flatten().tolist() == [-1, 0, 1, 0.5, 0.5, 0.5]
    assert torch.equal(from_vae_range(stacked), torch.cat([colour, grey.expand(1, 3, 1, 1)]))


def test_stays_frozen_and_in_evaluation_mode(codec) -> None:
    parent = torch.nn.ModuleDict({"codec": codec}).train()
    assert parent.training
    assert not any(module.training for module in codec.modules())
    assert not any(parameter.requires_grad for parameter in codec.parameters())


@torch.no_grad()
@pytest.mark.parametrize(
    ("precision", "autocast", "inside"),
    [
        ("trainer", torch.float16, torch.float32),
        ("trainer", torch.bfloat16, torch.bfloat16),
        ("float32", torch.bfloat16, torch.float32),
    ],
)
def test_the_vae_runs_in_the_trainer_s_precision_or_float32_but_never_in_float16(precision, autocast, inside) -> None:
    codec = LatentCodec(tiny_vae(), precision=precision)
    encoder, decoder = spy(codec.vae.encoder.conv_in), spy(codec.vae.decoder.conv_in)
    with torch.autocast("cpu", dtype=autocast):
        (latent,) = codec.encode(*pictures(3))
        foreground, alpha = codec.decode(latent)
        codec.decode(latent.to(autocast))  # what a sampler under autocast may hand over
    assert latent.dtype == foreground.dtype == alpha.dtype == torch.float32
    assert {output.dtype for output in encoder + decoder} == {inside}


def test_gradients_pass_to_the_latents_but_not_to_the_vae(codec) -> None:
    latents = torch.randn(2, 4, 2, 2, requires_grad=True)
    sum(picture.mean() for picture in codec.decode(latents)).backward()
    assert latents.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in codec.parameters())
