import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drip_lightning.ops.domains import (
    join_tokens,
    pair_domains,
    split_domains,
    split_tokens,
    stack_domains,
    unpair_domains,
)


@given(pairs=st.integers(1, 5), tokens=st.integers(1, 6), channels=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_round_trips(pairs: int, tokens: int, channels: int) -> None:
    foreground, alpha = torch.randn(2, pairs, tokens, channels)
    stacked = stack_domains(foreground, alpha)
    halves = split_domains(stacked)
    assert torch.equal(halves[0], foreground)
    assert torch.equal(halves[1], alpha)
    assert torch.equal(split_tokens(join_tokens(stacked)), stacked)
    assert torch.equal(unpair_domains(pair_domains(stacked)), stacked)


def test_foreground_comes_first() -> None:
    stacked = stack_domains(torch.tensor([1, 2]), torch.tensor([10, 20]))
    assert stacked.tolist() == [1, 2, 10, 20]


def test_a_pair_picks_out_a_samples_domains() -> None:
    assert pair_domains(torch.tensor([1, 2, 10, 20])).tolist() == [[1, 10], [2, 20]]


def test_join_tokens_keeps_pairs_together() -> None:
    # two pairs, two tokens, one channel: pair 0 is (1, 2) and (5, 6), pair 1 is (3, 4) and (7, 8)
    stacked = torch.tensor([[1, 2], [3, 4], [5, 6], [7, 8]])[..., None]
    assert join_tokens(stacked)[..., 0].tolist() == [[1, 2, 5, 6], [3, 4, 7, 8]]


def test_unequal_or_odd_batches_are_refused() -> None:
    with pytest.raises(ValueError, match=r"foreground \(1, 2\), alpha \(2, 2\)"):
        stack_domains(torch.zeros(1, 2), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="expected an even batch"):
        split_domains(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="expected an even number"):
        split_tokens(torch.zeros(1, 3, 2))
