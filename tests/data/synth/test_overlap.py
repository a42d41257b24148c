import numpy as np
import pytest

from drip_lightning.data.synth.families import FAMILIES
from drip_lightning.data.synth.overlap import overlapping, stacked
from drip_lightning.data.synth.textures import draw_texture


def maps(*values):
    colour, alpha = values
    return np.full((1, 1, 3), colour, np.uint8), np.full((1, 1), alpha, np.uint8)


def test_by_hand():
    """a = 1 - (1 - 0.4)(1 - 0.2) = 0.52; F = (0.4 * 200 + 0.6 * 0.2 * 70) / 0.52 = 170."""
    colour, alpha = stacked(*maps(200, 102), *maps(70, 51))
    assert alpha.item() == round(0.52 * 255)
    assert (colour == 170).all()


@pytest.mark.parametrize(("front", "expected"), [(255, 200), (0, 70)])
def test_an_opaque_front_hides_and_an_empty_one_shows_what_is_behind(front, expected):
    colour, alpha = stacked(*maps(200, front), *maps(70, 51))
    assert (colour == expected).all()
    assert alpha.item() == max(front, 51)


def test_where_both_are_empty_the_colour_behind_stays():
    colour, alpha = stacked(*maps(200, 0), *maps(70, 0))
    assert (colour == 70).all()
    assert alpha.item() == 0


def test_compositing_the_pair_equals_compositing_one_after_the_other():
    generator = np.random.default_rng(0)
    front, back = (
        (generator.integers(0, 256, (64, 64, 3), np.uint8), generator.integers(0, 256, (64, 64), np.uint8))
        for _ in range(2)
    )
    background = generator.integers(0, 256, (64, 64, 3), np.uint8)

    def over(colour, alpha, behind):
        weight = alpha[..., None] / 255
        return weight * colour + (1 - weight) * behind

    together = over(*stacked(*front, *back), background)
    np.testing.assert_allclose(together, over(*front, over(*back, background)), atol=1.1)


def test_objects_of_the_family_are_drawn_again_from_their_generator():
    kinds = [FAMILIES[name].draw for name in ("solid", "pane")]
    one, two = (overlapping(96, np.random.default_rng(3), draw_texture, kinds=kinds) for _ in range(2))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
