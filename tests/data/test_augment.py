import numpy as np
import pytest
import torch

from drip_lightning.data.augment import Augmentation, ColourJitter
from drip_lightning.data.degradations import Blur, Jpeg, Noise, Shrink
from drip_lightning.errors import InputError


def _draws(augmentation: Augmentation, count: int = 300) -> list:
    return [augmentation.draw(0, number) for number in range(count)]


def test_draws_stay_in_their_ranges_and_fill_them() -> None:
    augmentation = Augmentation(
        trimap_dilation=(2, 5),
        trimap_erosion=(0, 0),
        second_foreground_probability=0.5,
        degradations=(Blur(), Jpeg(probability=0.5)),
    )
    draws = _draws(augmentation)
    assert {draw.dilation for draw in draws} == {2, 3, 4, 5}
    assert {draw.erosion for draw in draws} == {0}
    scales = torch.tensor([draw.foreground.scale for draw in draws])
    assert 0.75 <= scales.min() < 0.8
    assert 1.95 < scales.max() <= 2
    turns = np.array([draw.foreground.rotation for draw in draws])
    assert np.abs(turns).max() <= 15
    assert turns.min() < -12
    assert turns.max() > 12
    assert 100 < sum(draw.foreground.flip for draw in draws) < 200
    assert 100 < sum(draw.second_foreground is not None for draw in draws) < 200
    assert {draw.background.rotation for draw in draws} == {0.0}
    assert not any(draw.linear_light for draw in draws)
    changes = [change.keywords for draw in draws for change in draw.image_changes]  # type: ignore[attr-defined]
    blurs = [change["amount"] for change in changes if "amount" in change]
    assert 10 < len(blurs) < 50
    assert 0.3 <= min(blurs) < 0.5 < 1.2 < max(blurs) <= 1.5
    qualities = {change["quality"] for change in changes if "quality" in change}
    assert set(range(50, 96)) >= qualities > {60, 90}


def test_a_sample_is_drawn_again_from_its_number_and_other_ranges_do_not_shift_it() -> None:
    wide, narrow = Augmentation(), Augmentation(degradations=(Noise(probability=1),), rotation=0.0)
    for first, again, other in zip(_draws(wide, 9), _draws(wide, 9), _draws(narrow, 9), strict=True):
        assert first.foreground == again.foreground
        assert (first.foreground_colours == again.foreground_colours).all()
        assert first.background == other.background
        assert (first.dilation, first.erosion) == (other.dilation, other.erosion)


def test_foreground_and_background_are_jittered_apart_and_together() -> None:
    nothing = ColourJitter()
    apart = Augmentation(
        foreground_jitter=ColourJitter(brightness=0.1), background_jitter=nothing, joint_jitter=nothing
    )
    together = Augmentation(foreground_jitter=nothing, background_jitter=nothing)
    identity = np.eye(3, 4)
    for draw in _draws(apart, 20):
        assert np.allclose(draw.background_colours, identity)
        assert not np.allclose(draw.foreground_colours, identity)
    for draw in _draws(together, 20):
        assert (draw.background_colours == draw.foreground_colours).all()
        assert not np.allclose(draw.foreground_colours, identity)


@pytest.mark.parametrize(
    "wrong", [{"crop_scale": (2.0, 1.0)}, {"trimap_erosion": (-1, 3)}, {"flip_probability": 1.5}, {"rotation": 200.0}]
)
def test_impossible_ranges_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"^augmentation.{next(iter(wrong))}: expected"):
        Augmentation(**wrong)


def test_impossible_parts_are_refused() -> None:
    with pytest.raises(InputError, match=r"hue: expected 0 to 3\.14"):
        ColourJitter(hue=4.0)
    with pytest.raises(InputError, match=r"^Jpeg\.quality: expected"):
        Jpeg(quality=(0, 50))
    with pytest.raises(InputError, match=r"^Shrink\.probability: expected 0 to 1, got 2"):
        Shrink(probability=2)
