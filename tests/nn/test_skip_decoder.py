import pytest
import torch

from drip_lightning.nn.latents import LatentCodec, LatentPairs
from drip_lightning.nn.skip_decoder import SkipDecoder, SkipDecoderModule
from drip_lightning.nn.transparency import VaeDecoder, VaeDecoderModule
from drip_lightning.ops.domains import split_domains
from drip_lightning.ops.hints.choice import NoHints
from tests.networks import NETWORKS, matting_batch, shake, tiny_vae


@pytest.fixture
def codec() -> LatentCodec:
    return LatentCodec(tiny_vae())


def latents(seed: int = 0) -> torch.Tensor:
    return torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


def decode(decoder: SkipDecoderModule, codec: LatentCodec, image: torch.Tensor, pairs: torch.Tensor):
    return decoder.decode(image, image[:, :1].round(), LatentPairs(codec, pairs), image[:, :0])


@torch.no_grad()
def test_starts_as_the_vae_decoder(codec) -> None:
    batch = matting_batch(0, 1)
    decoder = SkipDecoder().build(codec, NETWORKS, NoHints())
    found = decode(decoder, codec, batch["image"], latents())
    torch.testing.assert_close(found, codec.decode(latents()), atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_the_image_enters_at_every_level_and_each_domain_by_itself(codec) -> None:
    """A bias of one level's convolution, for alpha alone, changes every alpha and no foreground."""
    batch = matting_batch(0, 1)
    decoder = SkipDecoderModule.of(codec)
    assert [layer.in_channels for layer in decoder.convolutions] == [8, 8]  # levels of 8 and 16 features: before each
    plain = codec.decode(latents())
    for layer in decoder.convolutions:
        half = len(layer.bias) // 2
        layer.bias[half:] = torch.linspace(-1, 1, half)
        foreground, alpha = decode(decoder, codec, batch["image"], latents())
        assert torch.equal(foreground, plain[0]) or (foreground - plain[0]).abs().max() < 1e-6
        assert (alpha - plain[1]).abs().max() > 1e-4
        layer.bias.zero_()


@torch.no_grad()
def test_only_the_image_and_the_pairs_own_latents_decide(codec) -> None:
    decoder = SkipDecoderModule.of(codec)
    shake(decoder)
    one, other = matting_batch(0, 1), matting_batch(0, 2)
    both, changed = decode(decoder, codec, one["image"], latents()), decode(decoder, codec, other["image"], latents())
    for found, moved in zip(both, changed, strict=True):
        assert (found[1] - moved[1]).abs().max() > 1e-4
        torch.testing.assert_close(found[0], moved[0], atol=1e-5, rtol=1e-5)
    foreground, alpha = split_domains(latents())
    alone = decode(decoder, codec, one["image"][1:], torch.cat([foreground[1:], alpha[1:]]))
    for found, single in zip(both, alone, strict=True):
        torch.testing.assert_close(found[1:], single, atol=1e-5, rtol=1e-5)


def test_gradient_reaches_the_convolutions_alone(codec) -> None:
    decoder = SkipDecoderModule.of(codec)
    assert all(name.startswith("convolutions.") for name in decoder.state_dict())
    before = {name: weight.clone() for name, weight in codec.state_dict().items()}
    batch = matting_batch(0, 1)
    sum(picture.square().sum() for picture in decode(decoder, codec, batch["image"], latents())).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in decoder.parameters())
    assert all(parameter.grad is None for parameter in codec.parameters())
    torch.testing.assert_close(codec.state_dict(), before, rtol=0, atol=0)


def test_the_frozen_vae_has_nothing_to_train(codec) -> None:
    decoder = VaeDecoder().build(codec, NETWORKS, NoHints())
    assert isinstance(decoder, VaeDecoderModule)
    assert list(decoder.parameters()) == []
