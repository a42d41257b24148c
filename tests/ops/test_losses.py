import numpy as np
import pytest
import scipy.ndimage
import torch

from drip_lightning.ops.losses import gradient_loss, l2_loss, laplacian_loss, region_l1_loss

WEIGHTED_LOSSES = [l2_loss, laplacian_loss, gradient_loss]


def random_maps(*shape: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, *shape, generator=generator, dtype=dtype).unbind()


def laplacian_bands(plane: np.ndarray, levels: int) -> list[np.ndarray]:
    """A pyramid of one float64 plane by scipy, one map at a time, as an independent reference."""
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    bands = []
    for _ in range(levels):
        halved = scipy.ndimage.convolve(plane, kernel, mode="mirror")[::2, ::2]
        spread = np.zeros_like(plane)
        spread[::2, ::2] = halved
        bands.append(plane - 4 * scipy.ndimage.convolve(spread, kernel, mode="mirror"))
        plane = halved
    return bands


def test_region_l1_divides_each_region_by_its_own_area():
    target = torch.zeros(1, 1, 2, 4)
    preds = torch.tensor([[[[1.0, 0.5, 0.0, 0.0], [0.25, 0.25, 0.0, 0.0]]]])
    unknown_mask = torch.tensor([[[[True, True, False, False], [False, False, False, False]]]])
    # Unknown: (1 + 0.5) / 2; known: (0.25 + 0.25) / 6.
    assert region_l1_loss(preds, target, unknown_mask).item() == pytest.approx(0.75 + 0.5 / 6)


def test_region_l1_is_the_mean_of_its_samples():
    preds, target = random_maps(3, 2, 4, 4)
    unknown_mask = torch.zeros(3, 1, 4, 4, dtype=torch.bool)
    for sample, columns in enumerate((1, 3, 0)):
        unknown_mask[sample, ..., :columns] = True
    alone = [region_l1_loss(preds[i : i + 1], target[i : i + 1], unknown_mask[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(region_l1_loss(preds, target, unknown_mask), torch.stack(alone).mean())


def test_region_l1_averages_channels_and_weighs_pixels():
    preds = torch.tensor([0.3, 0.6, 0.9]).view(1, 3, 1, 1).expand(1, 3, 1, 2)
    weight = torch.tensor([[[[0.5, 0.0]]]])
    unknown_mask = torch.tensor([[[[True, False]]]])
    loss = region_l1_loss(preds, torch.zeros_like(preds), unknown_mask, weight=weight)
    assert loss.item() == pytest.approx(0.5 * 0.6)


@pytest.mark.parametrize("unknown", [True, False])
def test_an_empty_region_adds_nothing_and_keeps_gradients_finite(unknown: bool):
    preds = torch.full((2, 1, 3, 3), 0.25, requires_grad=True)
    loss = region_l1_loss(preds, torch.zeros(2, 1, 3, 3), torch.full((2, 1, 3, 3), unknown))
    loss.backward()
    assert loss.item() == 0.25
    torch.testing.assert_close(preds.grad, torch.full_like(preds, 1 / 18))


def test_l2_by_hand():
    preds = torch.tensor([[[[0.5, 1.0]]]])
    weight = torch.tensor([[[[1.0, 0.5]]]])
    assert l2_loss(preds, torch.zeros_like(preds)).item() == pytest.approx((0.25 + 1) / 2)
    assert l2_loss(preds, torch.zeros_like(preds), weight=weight).item() == pytest.approx((0.25 + 0.25) / 2)


@pytest.mark.parametrize(
    ("height", "width", "levels"),
    [(64, 48, 5), (33, 33, 5), (57, 40, 5), (32, 64, 4), (9, 31, 3), (8, 8, 2), (3, 9, 1)],
)
def test_laplacian_matches_a_pyramid_by_scipy_on_even_odd_and_small_sides(height: int, width: int, levels: int):
    preds, target = random_maps(2, 3, height, width, dtype=torch.float64)
    expected = 0.0
    for plane, true_plane in zip(preds.flatten(0, 1), target.flatten(0, 1), strict=True):
        pairs = zip(laplacian_bands(plane.numpy(), levels), laplacian_bands(true_plane.numpy(), levels), strict=True)
        expected += sum(2**level * np.abs(band - true).mean() for level, (band, true) in enumerate(pairs)) / levels / 6
    assert laplacian_loss(preds, target).item() == pytest.approx(expected, rel=1e-12)


def test_laplacian_of_one_level_by_hand():
    preds = torch.zeros(1, 1, 11, 11)
    preds[..., 5, 5] = 1.0
    # Along each axis the odd position 5 gives 4/16 to the even positions 4 and 6, and enlarging these hands back
    # [1, 4, 7, 8, 7, 4, 1]/32 around it (sum 1, centre 1/4). On both axes: sum 1, centre 1/16. So the band sums to
    # 1 - 1/16 in the centre and 1 - 1/16 around it.
    assert laplacian_loss(preds, torch.zeros_like(preds), levels=1).item() == pytest.approx(2 * 15 / 16 / 121)


def test_laplacian_ignores_a_constant_error():
    preds, _ = random_maps(1, 1, 40, 40, dtype=torch.float64)
    assert laplacian_loss(preds, preds + 0.3).item() == pytest.approx(0, abs=1e-14)


def test_gradient_matches_scipy_sobel():
    preds, target = random_maps(2, 3, 9, 12, dtype=torch.float64)
    planes = zip(preds.flatten(0, 1).numpy(), target.flatten(0, 1).numpy(), strict=True)
    expected = [
        np.abs(scipy.ndimage.sobel(p, axis, mode="nearest") - scipy.ndimage.sobel(t, axis, mode="nearest")).mean()
        for p, t in planes
        for axis in (0, 1)
    ]
    assert gradient_loss(preds, target).item() == pytest.approx(2 * np.mean(expected))


def test_gradient_of_a_ramp_is_eight_times_its_slope_inside():
    ramp = torch.arange(6.0).expand(1, 1, 5, 6) / 10
    # Replicated borders halve the slope in the first and last of the six columns.
    assert gradient_loss(ramp, torch.zeros_like(ramp)).item() == pytest.approx(0.8 * 5 / 6)


@pytest.mark.parametrize("loss", WEIGHTED_LOSSES)
def test_equal_maps_cost_nothing_and_have_finite_gradients(loss):
    preds, _ = random_maps(1, 3, 16, 16)
    target = preds.clone()
    preds.requires_grad_()
    value = loss(preds, target)
    value.backward()
    assert value.item() == 0
    assert preds.grad.isfinite().all()


@pytest.mark.parametrize("loss", WEIGHTED_LOSSES)
def test_gradients_match_finite_differences(loss):
    preds, target = random_maps(1, 1, 8, 9, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda maps: loss(maps, target), preds.requires_grad_())


@pytest.mark.parametrize("loss", WEIGHTED_LOSSES)
def test_weight_is_a_factor_of_both_maps(loss):
    preds, target = random_maps(2, 3, 17, 12)
    weight = torch.rand(2, 1, 17, 12, generator=torch.Generator().manual_seed(1)).round()
    torch.testing.assert_close(loss(preds, target, weight=weight), loss(weight * preds, weight * target))
    assert loss(preds, target, weight=torch.zeros_like(weight)).item() == 0


@pytest.mark.parametrize("loss", WEIGHTED_LOSSES)
def test_half_precision_is_compared_in_single_also_under_autocast(loss):
    preds, target = (maps.bfloat16() for maps in random_maps(1, 1, 24, 24))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(preds, target)
    assert value.dtype == torch.float32
    assert value.item() == loss(preds.float(), target.float()).item()


def test_wrong_arguments_are_named():
    maps = torch.zeros(1, 1, 8, 8)
    for loss in WEIGHTED_LOSSES:
        with pytest.raises(ValueError, match=r"got \(1, 1, 8, 8\) and \(1, 3, 8, 8\)"):
            loss(maps, maps.expand(1, 3, 8, 8))
        with pytest.raises(ValueError, match=r"weight: expected \(1, 1, 8, 8\), got \(1, 1, 1, 8\)"):
            loss(maps, maps, weight=maps[:, :, :1])
    with pytest.raises(ValueError, match="unknown_mask: expected bool"):
        region_l1_loss(maps, maps, maps)
    with pytest.raises(ValueError, match="levels"):
        laplacian_loss(maps, maps, levels=0)
    with pytest.raises(ValueError, match=r"sides of 3 or more, got \(2, 8\)"):
        laplacian_loss(maps[..., :2, :], maps[..., :2, :])
