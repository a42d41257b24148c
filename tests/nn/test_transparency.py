from dataclasses import replace

import pytest
import torch
from torch import Tensor

from drip_lightning.nn.half_size import HalfSizeUNetDecoder
from drip_lightning.nn.latents import LatentCodec, LatentPairs
from drip_lightning.nn.skip_decoder import SkipDecoder
from drip_lightning.nn.transparency import DecoderChoice, UNetDecoder, UNetDecoderModule
from drip_lightning.ops.domains import split_domains, stack_domains
from drip_lightning.ops.hints.choice import NoHints
from tests.networks import NETWORKS, shake, tiny_vae


def inputs(height: int, width: int, downsampling: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def rand(count: int, channels: int, factor: int = 1) -> Tensor:
        return torch.rand(count, channels, height // factor, width // factor, generator=generator)

    return {
        "image": rand(2, 3),
        "trimap": (2 * rand(2, 1)).round() / 2,
        "foreground": rand(2, 3),
        "alpha": rand(2, 1),
        "latents": rand(4, 4, downsampling),
    }


def unet(channels: tuple[int, ...] = (8, 8, 8), latent_level: int = 2) -> UNetDecoderModule:
    torch.manual_seed(0)
    return UNetDecoderModule(channels, latent_level=latent_level, layers_per_block=1)


@torch.no_grad()
@pytest.mark.parametrize(
    ("channels", "latent_level"),
    [((8, 8), 1), ((4, 8, 12), 2), ((4, 8, 12, 16), 3), ((4, 4, 8, 8, 12), 3), ((4, 4), 1)],
)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 5), (1, 7)])
def test_starts_as_the_vae_decoder_at_any_multiple_of_its_size(channels, latent_level, rows, columns) -> None:
    decoder = unet(channels, latent_level)
    given = inputs(rows * decoder.size_multiple, columns * decoder.size_multiple, 2**latent_level)
    foreground, alpha = decoder(**given)
    assert torch.equal(foreground, given["foreground"])
    assert torch.equal(alpha, given["alpha"])


@torch.no_grad()
def test_latents_enter_through_their_convolution_alone() -> None:
    decoder = unet()
    shake(decoder.conv_out)
    given = inputs(8, 8, 4)
    other = given | {"latents": given["latents"] + 1}
    before = decoder(**given)
    assert (before[1] - given["alpha"]).abs().amax() > 1e-3
    assert all(torch.equal(one, two) for one, two in zip(before, decoder(**other), strict=True))
    shake(decoder.latent_in)
    assert all((one - two).abs().amax() > 1e-4 for one, two in zip(decoder(**given), decoder(**other), strict=True))


@torch.no_grad()
def test_each_pair_of_latents_goes_to_its_own_picture() -> None:
    decoder = unet()
    shake(decoder)
    given = inputs(8, 8, 4)
    foreground, alpha = split_domains(given["latents"])
    both = decoder(**given)
    second = {name: picture[1:] for name, picture in given.items()}
    alone = decoder(**second | {"latents": stack_domains(foreground[1:], alpha[1:])})
    for one, two in zip(both, alone, strict=True):
        torch.testing.assert_close(one[1:], two, atol=1e-5, rtol=1e-5)


def test_gradients_wake_the_zero_layers_one_after_the_other() -> None:
    """At the start only `conv_out` learns; as soon as it is not zero, `latent_in` does."""
    decoder = unet()
    given = inputs(8, 8, 4)

    def grads() -> dict[str, float]:
        decoder.zero_grad()
        sum(picture.square().sum() for picture in decoder(**given)).backward()
        return {name: float(parameter.grad.abs().sum()) for name, parameter in decoder.named_parameters()}

    at_start = grads()
    assert {name for name, grad in at_start.items() if grad} == {"conv_out.weight", "conv_out.bias"}
    shake(decoder.conv_out)
    assert [name for name, grad in grads().items() if not grad] == []


def test_the_alpha_and_foreground_changes_are_told_apart() -> None:
    """The last output channel is alpha's."""
    decoder = unet()
    given = inputs(8, 8, 4)
    with torch.no_grad():
        decoder.conv_out.bias.copy_(torch.tensor([0.1, 0.2, 0.3, -0.5]))
        foreground, alpha = decoder(**given)
    change = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)
    torch.testing.assert_close(foreground, given["foreground"] + change)
    torch.testing.assert_close(alpha, given["alpha"] - 0.5)


def test_too_few_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="latents enter at level 3, got only 3 levels"):
        UNetDecoderModule((8, 8, 8), latent_level=3)


@torch.no_grad()
@pytest.mark.parametrize(("downsampling", "level"), [(2, 1), (4, 2), (8, 3)])
def test_latents_enter_where_features_have_their_size(downsampling, level) -> None:
    channels = (4, 4, 8, 8, 12)
    vae = replace(NETWORKS, vae_channels=(8,) * (level + 1)).new_vae()
    decoder = UNetDecoder().build(LatentCodec(vae), replace(NETWORKS, transparency_channels=channels), NoHints())
    assert decoder.latent_level == level
    shake(decoder)
    given = inputs(16, 16, downsampling)
    moved = given | {"latents": given["latents"].clone()}
    moved["latents"][0, :, 0, 0] += 1
    difference = (decoder(**given)[0] - decoder(**moved)[0]).abs().amax(dim=(1, 2, 3))
    assert difference[0] > 1e-5
    assert difference[1] < 1e-6


@pytest.mark.parametrize("choice", [UNetDecoder(), HalfSizeUNetDecoder(), SkipDecoder()])
def test_gradient_checkpointing_keeps_less_and_changes_no_gradient(choice: DecoderChoice) -> None:
    codec = LatentCodec(tiny_vae())
    decoder = choice.build(codec, NETWORKS, NoHints())
    shake(decoder)
    given = inputs(16, 16, codec.downsampling)
    pairs = LatentPairs(codec, given["latents"])
    kept, gradients = [], []
    for decoder.gradient_checkpointing in (False, True):
        kept.append(0)

        def keep(tensor: Tensor) -> Tensor:
            kept[-1] += tensor.numel()
            return tensor

        decoder.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            decoded = decoder.decode(given["image"], given["trimap"], pairs, torch.zeros(2, 0, 16, 16))
        sum(maps.square().sum() for maps in decoded).backward()
        gradients.append([weight.grad.clone() for weight in decoder.parameters()])
    assert kept[1] < 0.7 * kept[0]
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain)
