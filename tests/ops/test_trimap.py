import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from drip_lightning.ops.trimap import quantise_trimap, trimap_from_alpha, trimap_from_mask, unknown_mask


def _mattes(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    smooth = torch.nn.functional.interpolate(
        torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed)), size=(height, width), mode="bicubic"
    )
    return ((smooth - 0.5) * 3 + 0.5).clamp(0, 1)


def test_a_row_by_hand() -> None:
    alpha = torch.tensor([0, 0, 0, 0.5, 1, 1, 1, 1]).view(1, 1, 1, 8)
    trimap = trimap_from_alpha(alpha, dilation=[1], erosion=[2])
    assert trimap.flatten().tolist() == [0, 0, 0.5, 0.5, 0.5, 0.5, 1, 1]
    assert unknown_mask(trimap).flatten().tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


@given(
    radii=st.lists(st.integers(0, 12), min_size=4, max_size=4),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_agrees_with_scipy_and_contains_the_truth(radii: list[int], size: tuple[int, int], seed: int) -> None:
    alpha = _mattes(2, *size, seed=seed)
    dilation, erosion = radii[:2], radii[2:]
    trimap = trimap_from_alpha(alpha, torch.tensor(dilation), erosion)
    for i in range(2):
        matte = alpha[i, 0].numpy()
        # Outside the picture counts as known: erosion of the complement is what a filter with mode="nearest" does.
        background = ~ndimage.maximum_filter(matte > 0, size=2 * dilation[i] + 1, mode="nearest")
        foreground = ~ndimage.maximum_filter(matte < 1, size=2 * erosion[i] + 1, mode="nearest")
        assert ((trimap[i, 0] == 0).numpy() == background).all()
        assert ((trimap[i, 0] == 1).numpy() == foreground).all()
    assert set(trimap.unique().tolist()) <= {0.0, 0.5, 1.0}
    assert (alpha[trimap == 1] == 1).all()
    assert (alpha[trimap == 0] == 0).all()
    assert (unknown_mask(trimap)[(alpha > 0) & (alpha < 1)] == 1).all()


def test_mask_band() -> None:
    mask = torch.tensor([False] * 4 + [True] * 4).view(1, 1, 1, 8)
    assert trimap_from_mask(mask, 2).flatten().tolist() == [0, 0, 0.5, 0.5, 0.5, 0.5, 1, 1]
    assert trimap_from_mask(mask, 0).flatten().tolist() == [0] * 4 + [1] * 4


def test_every_grey_between_black_and_white_is_unknown() -> None:
    trimap = quantise_trimap(torch.arange(256) / 255)
    assert trimap[0] == 0
    assert trimap[255] == 1
    assert (trimap[1:255] == 0.5).all()


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(B, 1, H, W\), got \(2, 3, 4, 4\)"):
        trimap_from_alpha(torch.zeros(2, 3, 4, 4), [1, 1], [1, 1])
    with pytest.raises(ValueError, match="erosion: expected 2 radii"):
        trimap_from_alpha(torch.zeros(2, 1, 4, 4), [1, 1], [1])


def test_discs_are_thresholds_on_the_distance() -> None:
    alpha = torch.zeros(2, 1, 41, 37)
    alpha[0, 0, 20, 12] = alpha[1, 0, 3, 30] = 1
    radii = [9, 4]
    trimap = trimap_from_alpha(alpha, radii, [0, 0], structuring_element="disc")
    for sample, radius in zip(alpha, radii, strict=True):
        distance = ndimage.distance_transform_edt(sample[0] == 0)
        unknown = trimap[radii.index(radius), 0] == 0.5
        assert (unknown.numpy() == ((distance <= radius) & (distance > 0))).all()


def test_uint8_gives_the_same_trimap() -> None:
    pixels = torch.randint(0, 4, (3, 1, 20, 30), generator=torch.Generator().manual_seed(0)).mul(85).to(torch.uint8)
    for structuring_element in ("square", "disc"):
        radii = ([0, 2, 5], [1, 0, 3])
        from_uint8 = trimap_from_alpha(pixels, *radii, structuring_element=structuring_element)
        from_floats = trimap_from_alpha(pixels / 255, *radii, structuring_element=structuring_element)
        assert torch.equal((from_uint8.float() / 127).floor() / 2, from_floats)
