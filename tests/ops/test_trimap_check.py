import numpy as np
import pytest

from drip_lightning.ops.trimap_check import check_trimap

TRIMAP = np.tile(np.repeat(np.array([0, 128, 255], np.uint8), 4), (5, 1))  # (5, 12): four columns of each
ALPHA = np.tile(np.array([0, 0, 0, 0, 10, 90, 170, 250, 255, 255, 255, 255], np.uint8), (5, 1))


def test_a_good_trimap_is_not_doubted() -> None:
    found = check_trimap(TRIMAP, ALPHA)
    assert found.doubts == ()
    assert (found.unknown, found.foreground, found.background) == pytest.approx((1 / 3, 1 / 3, 1 / 3))


@pytest.mark.parametrize(
    ("columns", "doubt"),
    [
        ([0] * 4 + [255] * 8, "nothing is unknown"),
        ([0] * 4 + [255] * 8, "5 pixels of sure foreground touch sure background"),
        ([0] + [128] * 10 + [255], "83% are unknown: most of the picture"),
        ([0] * 8 + [128] * 4, "nothing is surely foreground"),
        ([255] * 8 + [128] * 4, "nothing is surely background"),
        ([0] * 4 + [128, 3, 250, 129] + [255] * 4, "16.7% have grey values beside 128 (3, 250)"),
    ],
)
def test_what_is_doubtful_about_a_trimap_alone(columns: list[int], doubt: str) -> None:
    assert any(found.startswith(doubt) for found in check_trimap(np.tile(np.array(columns, np.uint8), (5, 1))).doubts)


def test_a_band_thinner_than_the_soft_edge() -> None:
    thin = np.tile(np.array([0] * 6 + [128] + [255] * 5, np.uint8), (5, 1))
    (doubt,) = check_trimap(thin, ALPHA).doubts  # alpha 10 and 90 lie in the background, 250 in the foreground
    assert doubt.startswith(
        "the band is thinner than the soft edge: 15 partly transparent pixels lie outside it, up to 2 "
    )


def test_contradictions_with_alpha() -> None:
    alpha = ALPHA.copy()
    alpha[0, 0], alpha[1, 11] = 255, 0
    assert check_trimap(TRIMAP, alpha).doubts == ("2 sure pixels contradict alpha: it says the opposite there",)
    with pytest.raises(ValueError, match="alpha: expected"):
        check_trimap(TRIMAP, ALPHA[:4])
