"""Windows and tiles: every pixel is covered, and what tiles agree on comes out unchanged."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from drip_lightning.ops.windows import Tiles, Window, unknown_window, widened


def test_the_smallest_window_with_everything_unknown() -> None:
    mask = torch.zeros(1, 1, 5, 7, dtype=torch.bool)
    assert unknown_window(mask) is None
    mask[0, 0, 1, 4] = mask[0, 0, 3, 2] = True
    assert unknown_window(mask) == Window(1, 2, 3, 3)


def test_a_window_is_widened_to_a_grid_that_starts_at_the_picture_s_corner() -> None:
    # rows 10 to 11 with 3 around are 7 to 14: from 4 to 16; columns 1 to 18 with 3 around are 0 to 20 of 18
    assert widened(Window(10, 1, 2, 17), 3, 4, (40, 18)) == Window(4, 0, 12, 20)
    assert widened(Window(0, 0, 1, 1), 0, 8, (1, 1)) == Window(0, 0, 8, 8)


def test_beyond_the_edge_the_last_pixels_repeat() -> None:
    picture = torch.arange(12.0).view(1, 1, 3, 4)
    assert torch.equal(Window(1, 2, 4, 5).cut(picture), F.pad(picture[..., 1:, 2:], (0, 3, 0, 2), mode="replicate"))
    assert Window(1, 2, 4, 5).within((3, 4)) == Window(1, 2, 2, 2)


def test_coordinates_there_and_back() -> None:
    one, other = Window(8, 4, 16, 12), Window(4, 4, 40, 40)
    assert one.relative_to(other) == Window(4, 0, 16, 12)
    assert one.relative_to(other).placed_in(other) == one
    assert one.times(3).over(3) == one


@given(
    height=st.integers(1, 12),
    width=st.integers(1, 40),
    side=st.integers(2, 9),
    overlap=st.integers(1, 8),
    multiple=st.sampled_from([1, 4]),
)
@settings(max_examples=60, deadline=None)
def test_tiles_cover_their_window_and_agree(height: int, width: int, side: int, overlap: int, multiple: int) -> None:
    """Blending what is the same in every tile gives exactly that: the weights are a partition of unity."""
    window = Window(3 * multiple, multiple, height * multiple, width * multiple)
    overlap = min(overlap, side - 1) * multiple
    tiles = Tiles.cover(window, side * multiple, overlap, multiple)
    assert tiles.covered().all()
    for tile in tiles.each:
        place = tile.relative_to(window)
        assert 0 <= place.top <= window.height - tile.height
        assert 0 <= place.left <= window.width - tile.width
        assert max(tile.size) <= side * multiple
        assert not any(number % multiple for number in (place.top, place.left, *tile.size))
    columns = sorted({tile.left for tile in tiles.each})
    assert all(left + tiles.each[0].width - right >= overlap for left, right in itertools.pairwise(columns))
    picture = torch.rand(1, 2, 200, 200, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(tiles.blend(lambda tile: tile.cut(picture)), window.cut(picture))


def test_places_are_multiples_of_the_overlap_alone() -> None:
    tiles = Tiles.cover(Window(0, 0, 8, 40), 16, 2, 8)
    assert [tile.left for tile in tiles.each] == [0, 14, 24]
    picture = torch.rand(1, 2, 8, 40, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(tiles.blend(lambda tile: tile.cut(picture)), picture)


def test_two_neighbours_weights_add_up_to_one() -> None:
    tiles = Tiles.cover(Window(0, 0, 1, 14), 8, 2)
    assert [tile.left for tile in tiles.each] == [0, 6]
    left, right = (tiles.weight(tile)[0] for tile in tiles.each)
    assert left[:6].tolist() == right[2:].tolist() == [1] * 6
    torch.testing.assert_close(left[6:] + right[:2], torch.ones(2))
    assert left[6] > left[7] > 0


def test_what_is_left_out_is_nothing_and_what_remains_is_whole() -> None:
    whole = Tiles.cover(Window(0, 0, 4, 14), 8, 2)
    tiles = whole.where(lambda tile: tile.left == 0)
    result = tiles.blend(lambda tile: torch.full((1, *tile.size), 3.0))
    assert torch.equal(result[0], torch.where(torch.arange(14) < 8, 3.0, 0.0).expand(4, 14))
    assert torch.equal(tiles.covered()[0], torch.arange(14) < 8)


def test_a_single_tile_s_result_is_returned_as_it_is() -> None:
    result = torch.rand(1, 4, 4)
    assert Tiles.cover(Window(0, 0, 4, 4), 8, 2).blend(lambda tile: result) is result


@pytest.mark.parametrize("factor", [2, 4])
def test_tiles_of_a_smaller_picture_are_the_same_tiles(factor: int) -> None:
    tiles = Tiles.cover(Window(8, 0, 32, 64), 32, 8, 8)
    assert [tile.times(factor) for tile in tiles.over(factor).each] == list(tiles.each)
    assert tiles.over(factor).overlap == 8 // factor
