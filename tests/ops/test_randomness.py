import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drip_lightning.ops.randomness import sample_generator, sample_seed


@given(seed=st.integers(0, 2**40), number=st.integers(0, 2**40), purpose=st.sampled_from(["noise", "crop"]))
@settings(max_examples=50, deadline=None)
def test_a_generator_always_starts_at_the_same_place(seed: int, number: int, purpose: str) -> None:
    first = torch.rand(4, generator=sample_generator(seed, number, purpose))
    assert torch.equal(first, torch.rand(4, generator=sample_generator(seed, number, purpose)))
    assert 0 <= sample_seed(seed, number, purpose) < 2**63


def test_no_two_streams_are_shared() -> None:
    seeds = {
        sample_seed(seed, number, purpose)
        for seed in range(8)
        for number in range(64)
        for purpose in ("noise", "crop", "noise2", "")
    }
    assert len(seeds) == 8 * 64 * 4


def test_the_global_stream_plays_no_part() -> None:
    torch.manual_seed(0)
    first = sample_seed(1, 2, "noise"), torch.rand(1, generator=sample_generator(1, 2, "noise"))
    torch.manual_seed(99)
    assert first == (sample_seed(1, 2, "noise"), torch.rand(1, generator=sample_generator(1, 2, "noise")))


def test_seeds_stay_what_they_were() -> None:
    """A changed mixing would silently change every resumed run's noise."""
    assert sample_seed(0, 0, "diffusion") == 6711459638821247726
