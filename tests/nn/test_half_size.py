"""D_trans at half size: starts at what it is to mend, loses no pixel, and hears of hints and latents."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from drip_lightning.nn.half_size import HalfSizeUNetDecoder, HalfSizeUNetDecoderModule
from drip_lightning.nn.latents import LatentCodec, LatentPairs
from drip_lightning.ops.compositing import agreeing
from drip_lightning.ops.hints.choice import NoHints, PropagatedColours, SampledAndPropagatedColours
from tests.networks import NETWORKS, shake


def inputs(height: int, width: int, *, hints: int, latent_side: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)

    def rand(count: int, channels: int, *size: int) -> Tensor:
        return torch.rand(count, channels, *(size or (height, width)), generator=generator)

    return {
        "image": rand(2, 3),
        "trimap": (2 * rand(2, 1)).round() / 2,
        "foreground": rand(2, 3),
        "alpha": rand(2, 1),
        "latents": rand(4, 4, latent_side, latent_side),
        "hints": rand(2, 7 * hints),
    }


def unet(hints: int, channels: tuple[int, ...] = (8, 8, 12)) -> HalfSizeUNetDecoderModule:
    torch.manual_seed(0)
    return HalfSizeUNetDecoderModule(channels, hints=hints, latent_level=1)


@torch.no_grad()
@pytest.mark.parametrize("channels", [(8, 8, 12), (8, 8, 4)])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 2)])
def test_starts_as_the_first_hint_or_else_as_the_vae_s_pictures(
    rows: int, columns: int, channels: tuple[int, ...]
) -> None:
    for hints in (0, 2):
        decoder = unet(hints, channels)
        given = inputs(rows * decoder.size_multiple, columns * decoder.size_multiple, hints=hints)
        image = given["image"]
        foreground, alpha = decoder(**given)
        start = given["hints"][:, :7].split([3, 3, 1], dim=1) if hints else (given["foreground"], image, given["alpha"])
        assert torch.equal(foreground, agreeing(image, *start)[0])
        assert torch.equal(alpha, start[2])


@torch.no_grad()
def test_opaque_pixels_have_the_image_s_colour_whatever_is_learned() -> None:
    decoder = unet(1)
    shake(decoder.conv_out)
    given = inputs(8, 8, hints=1)
    given["hints"][:, 6] = 9.0  # far beyond what the answer takes back
    foreground, _ = decoder(**given)
    torch.testing.assert_close(foreground, given["image"])


@torch.no_grad()
def test_every_map_and_every_pixel_of_it_counts() -> None:
    """No pixel is lost by the unshuffling: changing any one of a 2 × 2 square changes the answer."""
    decoder = unet(1)
    for layer in (decoder.conv_out, decoder.latent_in):
        shake(layer)
    given = inputs(8, 8, hints=1)
    before = torch.cat(decoder(**given), dim=1)
    for name, channel in (("image", 1), ("trimap", 0), ("foreground", 2), ("alpha", 0), ("hints", 4), ("latents", 3)):
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            changed = given[name].clone()
            changed[0, channel, row, column] += 0.5
            after = torch.cat(decoder(**given | {name: changed}), dim=1)
            assert (after[0] - before[0]).abs().amax() > 1e-5, (name, row, column)
            assert torch.equal(after[1], before[1])


@torch.no_grad()
def test_without_latents_neither_they_nor_the_vae_s_pictures_count() -> None:
    vae = NETWORKS.new_vae()
    generator = torch.Generator().manual_seed(5)
    given = inputs(16, 16, hints=1)
    shape = (4, vae.config.latent_channels, 8, 8)
    answers = {}
    for takes_latents in (True, False):
        torch.manual_seed(0)
        decoder = HalfSizeUNetDecoder(takes_latents=takes_latents).build(
            LatentCodec(vae), NETWORKS, PropagatedColours()
        )
        for layer in (decoder.conv_out, decoder.latent_in):
            shake(layer)
        answers[takes_latents] = [
            torch.cat(decoder.decode(given["image"], given["trimap"], pairs, given["hints"]), dim=1)
            for pairs in (LatentPairs(LatentCodec(vae), torch.randn(shape, generator=generator)) for _ in range(2))
        ]
    assert not torch.equal(*answers[True])
    assert torch.equal(*answers[False])


@pytest.mark.parametrize("takes_latents", [True, False])
def test_every_weight_learns_that_is_trained(takes_latents: bool) -> None:
    codec = LatentCodec(NETWORKS.new_vae())
    decoder = HalfSizeUNetDecoder(takes_latents=takes_latents).build(codec, NETWORKS, SampledAndPropagatedColours())
    for module in decoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            shake(module)
    given = inputs(16, 16, hints=2)
    pairs = LatentPairs(codec, torch.randn(4, codec.channels, 8, 8, generator=torch.Generator().manual_seed(5)))
    answer = decoder.decode(given["image"], given["trimap"], pairs, given["hints"])
    sum(picture.square().sum() for picture in answer).backward()
    silent = [name for name, weight in decoder.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == [name for name, weight in decoder.named_parameters() if not weight.requires_grad]
    assert silent == ([] if takes_latents else ["latent_in.weight", "latent_in.bias"])


def test_sizes_come_from_networks_and_hints() -> None:
    vae = NETWORKS.new_vae()
    networks = replace(NETWORKS, transparency_channels=(8, 8, 8, 12), transparency_layers=2)
    for hints in (NoHints(), SampledAndPropagatedColours()):
        decoder = HalfSizeUNetDecoder().build(LatentCodec(vae), networks, hints)
        assert decoder.conv_in.in_channels == 4 * (8 + hints.channels)
        assert decoder.size_multiple == 16
    with pytest.raises(ValueError, match="latents enter at level 2, got only 2 levels"):
        HalfSizeUNetDecoderModule((8, 8), latent_level=2)
