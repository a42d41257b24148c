"""Cropped and tiled, a picture comes out as whole, wherever the networks' receptive field allows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from drip_lightning.errors import InputError
from drip_lightning.nn.attention import CrossDomainAttention
from drip_lightning.nn.half_size import HalfSizeUNetDecoderModule
from drip_lightning.nn.latents import LatentCodec
from drip_lightning.nn.noise import GaussianNoise
from drip_lightning.nn.noise_schedule import NoiseSchedule
from drip_lightning.nn.picture import PictureInTiles
from drip_lightning.nn.sampler import Matte, MattingSampler
from drip_lightning.nn.skip_decoder import SkipDecoderModule
from drip_lightning.nn.switcher import PosEncSwitcher
from drip_lightning.nn.transparency import LatentDecoder, UNetDecoderModule, VaeDecoderModule
from drip_lightning.ops.geometry import enlarge_picture, reduce_picture
from drip_lightning.ops.hints.choice import Guess, Hints, NoHints, PropagatedColours
from drip_lightning.ops.sizes import Sizes
from drip_lightning.ops.windows import Window
from tests.networks import shake, tiny_unet, tiny_vae

WHOLE = Sizes(tile_size=None, context=100_000)
REACH = 40
"""Pixels that matter to one at most, in these networks without normalisation and attention."""


@dataclass(frozen=True)
class LocalHints(Hints):
    """The image itself, so that hints have no reach."""

    @property
    def guesses(self) -> tuple[Guess, ...]:
        return (lambda image, trimap: (image, 1 - image, image.mean(dim=1, keepdim=True)),)


def _local(network: nn.Module) -> nn.Module:
    """Take out what sees the whole picture: group normalisation and attention."""
    for parent in list(network.modules()):
        if isinstance(parent, Attention):
            nn.init.zeros_(parent.to_out[0].weight)
            nn.init.zeros_(parent.to_out[0].bias)
        for name, child in parent.named_children():
            if isinstance(child, nn.GroupNorm):
                setattr(parent, name, nn.Identity())
    return network


def networks(decoder: str, *, whole: bool = False, **settings: Any) -> MattingSampler:
    """Tiny ones, which see no further than `REACH`, unless they are to be whole."""
    torch.manual_seed(0)
    local = nn.Module.eval if whole else _local
    codec = LatentCodec(local(tiny_vae()))
    joint = PosEncSwitcher().build(tiny_unet(), torch.randn(1, 2, 8), attention=CrossDomainAttention()).eval()
    local(joint)
    made: LatentDecoder = {
        "vae": VaeDecoderModule(),
        "unet": UNetDecoderModule((8, 8), latent_level=1, layers_per_block=1),
        "half": HalfSizeUNetDecoderModule((8, 8), hints=1, latent_level=1),
        "skip": SkipDecoderModule.of(codec),
    }[decoder]
    shake(local(made), scale=0.05)
    chosen = {"hints": LocalHints() if decoder == "half" else NoHints(), "sizes": WHOLE, **settings}
    return MattingSampler(codec, joint, GaussianNoise(), NoiseSchedule(prediction_type="sample"), made, **chosen)


def picture(width: int, *, unknown: slice = slice(None), height: int = 13) -> tuple[Tensor, Tensor]:
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    trimap = (torch.arange(width) > width // 2).float().repeat(1, 1, height, 1)
    trimap[..., unknown] = 0.5
    return image, trimap


def matte(sampler: MattingSampler, maps: Sequence[Tensor], steps: int = 2) -> Matte:
    return sampler(*maps, steps=steps, generators=[torch.Generator().manual_seed(3)])


@pytest.mark.parametrize("decoder", ["vae", "unet", "half", "skip"])
def test_cropped_equals_whole_where_the_context_is_the_receptive_field(decoder: str) -> None:
    whole = networks(decoder, reduction=2 if decoder == "half" else 1)
    maps = picture(377, unknown=slice(200, 220))
    expected = matte(whole, maps)
    cropped = matte(replace(whole, sizes=Sizes(tile_size=None, context=REACH)), maps)
    unknown = maps[1] == 0.5
    torch.testing.assert_close(cropped.alpha, expected.alpha, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        cropped.foreground[:, :, :, 200:220], expected.foreground[:, :, :, 200:220], atol=1e-5, rtol=0
    )
    assert cropped.alpha[unknown].std() > 1e-3
    assert torch.equal(cropped.foreground[..., :90], maps[0][..., :90])  # far from what is unknown
    near = matte(replace(whole, sizes=Sizes(tile_size=None, context=0)), maps)
    assert not torch.allclose(near.alpha, expected.alpha, atol=1e-5)  # this would notice


@pytest.mark.parametrize("decoder", ["vae", "unet", "half", "skip"])
def test_tiled_equals_whole_where_the_receptive_field_allows(decoder: str) -> None:
    whole = networks(decoder, reduction=2 if decoder == "half" else 1)
    maps = picture(480)
    maps[1][..., 0, :], maps[1][..., -1, :] = 0, 1  # for hints of every tile's own
    tiled = replace(whole, sizes=Sizes(tile_size=200))
    expected, found = matte(whole, maps), matte(tiled, maps)
    layout = tiled.sizes.layout(maps[1], tiled.multiples)
    assert layout is not None
    assert len(layout.tiles.each) > 1
    far = torch.ones(480, dtype=torch.bool)
    for tiles, scale in ((layout.tiles, 1), (layout.seen, layout.reduction)):
        for tile in tiles.each:
            for end in (tile.left, tile.left + tile.width):
                if 0 < end < tiles.window.width:
                    far[max(0, end * scale - REACH) : end * scale + REACH] = False
    assert far.sum() > 100
    for one, other in ((found.alpha, expected.alpha), (found.foreground, expected.foreground)):
        torch.testing.assert_close(one[..., far], other[..., far], atol=1e-5, rtol=0)


def test_tiles_whose_places_are_no_multiples_of_their_sides_hold_their_latents() -> None:
    """At a third, tiles of 24 are cut at multiples of 6: what the VAE makes of the latents is in its place."""
    whole = networks("vae", sizes=Sizes(processing_size=100, tile_size=None))
    tiled = replace(whole, sizes=Sizes(processing_size=100, tile_size=24))
    maps = picture(290, height=50)
    layout = tiled.sizes.layout(maps[1], tiled.multiples)
    assert layout is not None
    assert {tile.left % 12 for tile in layout.tiles.each} == {0, 6}
    expected, found = matte(whole, maps), matte(tiled, maps)
    torch.testing.assert_close(found.alpha, expected.alpha, atol=1e-4, rtol=0)
    assert (found.alpha.roll(6, -1) - expected.alpha).abs().mean() > 1e-3  # this would notice


def test_known_pictures_never_reach_a_network() -> None:
    class Unreachable(LatentDecoder):
        def decode(self, *maps: Any) -> tuple[Tensor, Tensor]:
            raise AssertionError

    image, trimap = picture(64, unknown=slice(0))
    sampler = replace(networks("vae"), decoder=Unreachable(), codec=LatentCodec(tiny_vae()), joint_unet=Nobody())
    result = matte(sampler, (image, trimap))
    assert torch.equal(result.alpha, trimap)
    assert torch.equal(result.foreground, image)
    with pytest.raises(AssertionError):
        matte(sampler, picture(64, unknown=slice(5, 6)))


class Nobody:
    size_multiple = 2

    def __call__(self, *maps: Any) -> Tensor:
        raise AssertionError


def test_tiles_without_unknown_pixels_are_never_computed() -> None:
    """The work is that of the band: the same on a picture four times as large with the same band."""
    counts = []
    for width in (1000, 4000):
        done: list[tuple[int, int]] = []

        def tell(part: int, parts: int, done: list[tuple[int, int]] = done) -> None:
            done.append((part, parts))

        sampler = networks("unet", sizes=Sizes(tile_size=128))
        image, trimap = picture(width, unknown=slice(0))
        trimap[..., 5:9] = trimap[..., 900:905] = 0.5
        generators = [torch.Generator().manual_seed(0)]
        sampler(image, trimap, steps=3, generators=generators, progress=tell)
        assert [one for one, _ in done] == list(range(1, done[-1][1] + 1))  # each part is told, the last ends it
        counts.append(done[-1][1])
    assert counts[0] == counts[1]


def test_a_smooth_ramp_has_no_seams() -> None:
    """A decoder that normalises answers otherwise in every tile; the step across seams is bounded all the same."""

    class Normalising(LatentDecoder):
        def decode(self, image: Tensor, trimap: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
            normal = nn.functional.group_norm(image, 1)  # a ramp from -1.73 to 1.73 in any tile
            return image, 0.5 + 0.2 * normal[:, :1]

    ramp = torch.linspace(0, 1, 640).expand(1, 3, 24, 640)
    maps = ramp, torch.full((1, 1, 24, 640), 0.5)
    tiled = replace(networks("vae"), decoder=Normalising(), sizes=Sizes(tile_size=256))
    alpha = matte(tiled, maps, steps=1).alpha[0, 0, 0]
    own_step = 0.2 * 2 * 3**0.5 / 256
    # tiles of 256 and 32 shared: what comes next begins 7/8 of that range lower, and the weight's steepest is π/2/32
    between_tiles = 0.2 * 2 * 3**0.5 * 7 / 8 * torch.pi / 2 / 32
    assert alpha.diff().abs().amax() <= own_step + between_tiles + 1e-3
    assert alpha.diff().amin() < -between_tiles / 2  # there are seams


def test_a_tile_without_sure_pixels_has_the_whole_picture_s_hints() -> None:
    image, trimap = picture(500, unknown=slice(60, 440), height=40)
    layout = Sizes(tile_size=128, context=1000).layout(trimap, networks("vae").multiples)
    assert layout is not None
    whole = PropagatedColours()(image, trimap)
    tiled = PictureInTiles(image, trimap, layout, PropagatedColours(), lambda: None)
    middle = next(tile for tile in layout.tiles.each if tile.left > 150)
    torch.testing.assert_close(tiled.hints_in(middle), middle.cut(whole))


@pytest.mark.parametrize("few", [0, 50])
def test_a_tile_with_few_sure_pixels_has_hints_of_twice_its_side_at_half_the_scale(few: int) -> None:
    """A hundredth of it must be sure on either side, 73 pixels."""
    image, trimap = picture(500, unknown=slice(98, 230), height=64)
    layout = Sizes(tile_size=128, context=1000).layout(trimap, networks("vae").multiples)
    assert layout is not None
    tile = next(tile for tile in layout.tiles.each if tile.left)
    assert (tile.left, tile.width) == (98, 114)  # all of it unknown
    trimap[..., :few, 98], trimap[..., :few, 211] = 0, 1
    tiled = PictureInTiles(image, trimap, layout, LocalHints(), lambda: None)
    near = Window(0, 40, 64, 230)  # 57 to each side, and even
    blurred = enlarge_picture(reduce_picture(near.cut(image), 2), 2)[..., 58:172]
    found = tiled.hints_in(tile)[:, :3, :64]
    inner = slice(1, -1)  # at a tile's edges interpolation knows one side
    torch.testing.assert_close(found[..., inner], blurred[..., inner], atol=0.5 / 255, rtol=0)
    trimap[..., 98:100], trimap[..., 210:212] = 0, 1
    found = tiled.hints_in(tile)[:, :3, :64]
    torch.testing.assert_close(found, tile.view(image), atol=0.5 / 255, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (2, 4), (4, 2), (8, 8), (1, 3000), (37, 53)])
@pytest.mark.parametrize("decoder", ["vae", "unet", "half", "skip"])
def test_odd_pictures_that_are_all_unknown(decoder: str, size: tuple[int, int]) -> None:
    """With all their normalisation and attention, down to levels of a single pixel."""
    hints = {"reduction": 2, "hints": PropagatedColours()} if decoder == "half" else {}
    sampler = networks(decoder, whole=True, sizes=Sizes(processing_size=256, tile_size=128), **hints)
    image, trimap = torch.rand(1, 3, *size), torch.full((1, 1, *size), 0.5)
    result = matte(sampler, (image, trimap))
    assert result.alpha.shape == trimap.shape
    assert result.alpha.isfinite().all()
    assert result.foreground.isfinite().all()


def test_a_picture_of_one_row_is_worked_on_where_it_is_unknown() -> None:
    image, trimap = torch.rand(1, 3, 1, 70_000), (torch.arange(70_000) > 69_000).float().expand(1, 1, 1, -1).clone()
    trimap[..., 68_990:69_010] = 0.5
    done: list[int] = []
    generators = [torch.Generator().manual_seed(0)]
    result = networks("unet", sizes=Sizes())(
        image, trimap, steps=1, generators=generators, progress=lambda _, parts: done.append(parts)
    )
    assert len(done) == done[0] == 4  # encoded, denoised and decoded twice, in one tile each
    sure = trimap != 0.5
    assert torch.equal(result.alpha[sure], trimap[sure])
    assert result.alpha.isfinite().all()


def test_an_impossible_tile_is_refused_when_the_pipeline_is_made() -> None:
    with pytest.raises(InputError, match="tile size: expected at least 8 for these networks, got 4"):
        networks("vae", sizes=Sizes(tile_size=4))


def test_fewer_pixels_are_seen_at_a_processing_size() -> None:
    shapes = []
    sampler = networks("unet", sizes=Sizes(processing_size=100))
    sampler.joint_unet.register_forward_pre_hook(lambda _, maps: shapes.append(tuple(maps[0].shape)))
    image, trimap = torch.rand(1, 3, 90, 290), torch.full((1, 1, 90, 290), 0.5)
    result = matte(sampler, (image, trimap), steps=1)
    assert shapes == [(2, 4, 16, 50)]  # 30 × 97 pixels, to multiples of 4, and half as many latents
    assert result.alpha.shape == (1, 1, 90, 290)


class Blackening(LocalHints):
    """Makes every foreground that a network answered black."""

    def foreground(self, image: Tensor, alpha: Tensor, answered: Tensor) -> Tensor:
        assert alpha.shape == (1, 1, *image.shape[-2:])
        assert alpha.amin() >= 0
        assert alpha.amax() <= 1
        return torch.zeros_like(answered)


def test_hints_have_the_last_word_on_the_foreground_of_a_decoder_that_is_given_them() -> None:
    sampler = replace(networks("half"), hints=Blackening())
    image, trimap = picture(64)
    mended, plain = sampler.compare(
        image, trimap, [sampler.decoder, VaeDecoderModule()], generators=[torch.Generator().manual_seed(3)], steps=1
    )
    assert (mended.foreground == 0).all()
    assert (plain.foreground > 0).any()
