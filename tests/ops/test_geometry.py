import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drip_lightning.ops.geometry import pad_to_multiple, unpad


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
