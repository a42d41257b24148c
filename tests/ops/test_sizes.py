import time

import pytest
import torch
from torch import Tensor

from drip_lightning.errors import InputError
from drip_lightning.ops.sizes import Multiples, Sizes
from drip_lightning.ops.windows import Window

MULTIPLES = Multiples(latent=8, denoiser=4, decoder=32, reduction=2)
"""The denoiser wants multiples of 32, of the picture 64."""
MULTIPLES_OF_SMALL_TILES = Multiples(latent=4, denoiser=4, decoder=16, reduction=2)


def trimap(height: int, width: int, *, unknown: tuple[slice, slice] = (slice(None), slice(None))) -> Tensor:
    sides = torch.zeros(1, 1, height, width)
    sides[0, 0, unknown[0], unknown[1]] = 0.5
    return sides


def test_nothing_unknown_is_no_work() -> None:
    assert Sizes().layout(torch.ones(1, 1, 9, 9), MULTIPLES) is None


def test_the_window_is_the_unknown_region_with_context() -> None:
    sides = trimap(3000, 4000, unknown=(slice(1000, 1100), slice(2000, 2010)))
    layout = Sizes(context=64).layout(sides, MULTIPLES)
    assert layout is not None
    # rows 936 to 1164, columns 1936 to 2074, to multiples of 64
    assert layout.window == Window(896, 1920, 320, 192)
    assert layout.reduction == 2
    assert layout.tiles.each == (layout.window,)
    assert layout.seen.each == (Window(0, 0, 160, 96),)


@pytest.mark.parametrize(
    ("processing_size", "reduction"), [(None, 2), (2048, 2), (1024, 4), (768, 6), (512, 8), (64, 32), (32, 32)]
)
def test_the_denoiser_sees_no_more_than_the_processing_size(processing_size: int | None, reduction: int) -> None:
    layout = Sizes(processing_size, tile_size=None).layout(trimap(3000, 4000), MULTIPLES)
    assert layout is not None
    assert layout.reduction == reduction
    if processing_size is not None and processing_size > 64:
        assert max(layout.seen.window.size) <= processing_size
        assert len(layout.seen.each) == 1


def test_tiles_without_unknown_pixels_are_left_out() -> None:
    """A thin band along the left and the upper edge; the rest of the window is covered by no tile."""
    sides = trimap(3000, 4000, unknown=(slice(0, 20), slice(None)))
    sides[..., :20] = 0.5
    layout = Sizes(tile_size=512).layout(sides, MULTIPLES)
    assert layout is not None
    assert all(tile.top == 0 or tile.left == 0 for tile in layout.tiles.each)
    covered = layout.tiles.covered()
    assert covered[:3000, :4000][sides[0, 0] == 0.5].all()
    assert not covered[600:, 600:].any()
    seen = layout.seen.covered().repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert seen[: covered.shape[0], : covered.shape[1]][covered].all()  # of all that is decoded there are latents
    assert not layout.seen.covered().all()


def test_neighbours_share_little_where_networks_and_reduction_have_no_common_factor() -> None:
    """Stable Diffusion 2 at a third: the decoder's 64 and 3 · 8 pixels of a latent ask for sides of 192, not places."""
    layout = Sizes(processing_size=1024).layout(trimap(2048, 3072), Multiples(8, 8, 64, 1))
    assert layout is not None
    assert (layout.reduction, layout.tiles.overlap) == (3, 48)
    # (2112 - 48) / (384 - 48) tiles one above the other, (3072 - 48) / (384 - 48) side by side
    assert len(layout.tiles.each) == 7 * 9
    for tile in layout.tiles.each:
        assert tile.size == (384, 384)
        assert not any(place % 24 for place in (tile.top, tile.left))


def test_laying_out_many_tiles_takes_no_time() -> None:
    """16 megapixels in tiles of 64, 5000 of each kind: comparing each with each would take ten seconds and more."""
    start = time.process_time()
    layout = Sizes(tile_size=64).layout(torch.tensor(0.5).expand(1, 1, 4000, 4000), MULTIPLES_OF_SMALL_TILES)
    assert layout is not None
    assert min(len(layout.tiles.each), len(layout.seen.each)) > 1000
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("sizes", "complaint"),
    [
        (Sizes(processing_size=31), "processing size: expected at least 32"),
        (Sizes(tile_size=63), "tile size: expected at least 64"),
        (Sizes(tile_size=-1), "tile size: expected at least 64"),
    ],
)
def test_what_no_picture_can_be_brought_to_is_refused(sizes: Sizes, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        sizes.check(MULTIPLES)


@pytest.mark.parametrize("size", [(1, 1), (70_000, 1), (1, 70_000), (33, 65)])
@pytest.mark.parametrize("processing_size", [None, 512])
def test_odd_sizes_have_a_layout_in_which_every_side_fits(size: tuple[int, int], processing_size: int | None) -> None:
    layout = Sizes(processing_size).layout(trimap(*size), MULTIPLES)
    assert layout is not None
    for tile in layout.tiles.each:
        assert tile.relative_to(layout.window).over(8 * layout.reduction).times(8 * layout.reduction)
        assert not any(side % 32 for side in tile.size)
        assert max(tile.size) <= 512
    for tile in layout.seen.each:
        assert not any(side % 32 for side in tile.size)
        assert max(tile.size) <= 512
    assert layout.tiles.covered()[: size[0], : size[1]].all()
