import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drip_lightning.ops.geometry import enlarge_picture, pad_to_multiple, reduce_picture, reduce_trimap, unpad


@given(height=st.integers(1, 40), width=st.integers(1, 40), multiple=st.integers(1, 64))
@settings(max_examples=60, deadline=None)
def test_round_trip_at_any_size(height: int, width: int, multiple: int) -> None:
    picture = torch.arange(2 * height * width).view(2, 1, height, width)
    padded, size = pad_to_multiple(picture, multiple)
    assert torch.equal(unpad(padded, size), picture)
    assert padded.shape[-2] % multiple == padded.shape[-1] % multiple == 0
    assert padded.shape[-2] - height < multiple
    assert padded.shape[-1] - width < multiple


def test_padding_repeats_the_last_row_and_column() -> None:
    padded, size = pad_to_multiple(torch.tensor([[1, 2, 3]]), 2)
    assert padded.tolist() == [[1, 2, 3, 3], [1, 2, 3, 3]]
    assert size == (1, 3)


def test_nothing_to_repeat_is_refused() -> None:
    with pytest.raises(ValueError, match="padding: expected a picture"):
        pad_to_multiple(torch.zeros(1, 0, 4), 8)


def test_reducing_averages_squares_and_enlarging_brings_the_size_back() -> None:
    picture = torch.arange(16.0).view(1, 1, 4, 4)
    reduced = reduce_picture(picture, 2)
    assert reduced.flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert torch.equal(reduce_picture(picture, 1), picture)
    assert torch.equal(enlarge_picture(picture, 1), picture)
    flat = enlarge_picture(torch.full((1, 3, 2, 5), 0.25), 3)
    assert flat.shape == (1, 3, 6, 15)
    assert torch.equal(flat, torch.full_like(flat, 0.25))


def test_a_reduced_trimap_is_sure_where_all_its_pixels_are() -> None:
    trimap = torch.tensor([[0, 0, 0, 0.5, 1, 1, 0, 1], [0, 0, 0, 0, 1, 1, 1, 0]]).view(1, 1, 2, 8)
    assert reduce_trimap(trimap, 2).flatten().tolist() == [0, 0.5, 1, 0.5]
    assert torch.equal(reduce_trimap(trimap, 1), trimap)
