import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import torch
from PIL import Image

from drip_lightning.ops.connectivity import connectivity
from drip_lightning.ops.gaussian_gradient import _magnitude_by_shifts, gradient_magnitude
from drip_lightning.ops.metrics import foreground_mse, foreground_sad, gradient, mad, mse, sad

GOLDEN = Path(__file__).parent / "golden_metrics"
GOLDEN_VALUES = json.loads((GOLDEN / "values.json").read_text())
ALPHA_METRICS = [sad, mse, mad, gradient, connectivity]


def image(rows: list[list[float]]) -> torch.Tensor:
    return torch.tensor(rows)[None, None]


def everywhere(maps: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(maps[:, :1], dtype=torch.bool)


def read_grey(name: str) -> torch.Tensor:
    with Image.open(GOLDEN / name) as picture:
        return torch.from_numpy(np.array(picture))[None, None]


def random_mattes(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two correlated mattes of blobs, strands and flat parts, in 8-bit steps; many components at every threshold."""
    noise = np.random.default_rng(seed).standard_normal((2, 36, 45))
    blurred = scipy.ndimage.gaussian_filter(noise, (0, 1.2, 1.2)) * 2
    target = np.clip(blurred[0] + 0.4, 0, 1)
    preds = np.clip(target + blurred[1] * 0.3, 0, 1)
    return tuple(
        torch.from_numpy(np.round(maps * 255).astype(np.float32) / np.float32(255))[None, None]
        for maps in (preds, target)
    )


@pytest.mark.parametrize("name", GOLDEN_VALUES)
def test_alpha_metrics_match_the_matlab_reference(name: str):
    preds, target = (read_grey(f"{name}.{kind}.png") / 255 for kind in ("pred", "target"))
    mask = read_grey(f"{name}.trimap.png") == 128
    expected = GOLDEN_VALUES[name]
    assert mask.sum() == expected["unknown_pixels"]
    measured = {
        "sad": sad(preds, target, mask) / 1000,
        "mse": mse(preds, target, mask),
        "grad": gradient(preds, target, mask) / 1000,
        "conn": connectivity(preds, target, mask) / 1000,
    }
    for metric, value in measured.items():
        assert value.item() == pytest.approx(expected[metric] or 0, rel=1e-5, abs=1e-9), metric


def test_sums_and_means_by_hand_for_each_image_of_a_batch():
    preds = torch.tensor([[0.5, 1.0, 0.0], [0.25, 0.0, 1.0]]).view(2, 1, 1, 3)
    target = torch.tensor([[0.0, 0.75, 1.0], [0.0, 0.0, 0.0]]).view(2, 1, 1, 3)
    mask = torch.tensor([[True, True, False], [True, False, True]]).view(2, 1, 1, 3)
    torch.testing.assert_close(sad(preds, target, mask), torch.tensor([0.75, 1.25]))
    torch.testing.assert_close(mad(preds, target, mask), torch.tensor([0.375, 0.625]))
    torch.testing.assert_close(mse(preds, target, mask), torch.tensor([0.3125 / 2, 1.0625 / 2]))


@pytest.mark.parametrize("metric", ALPHA_METRICS)
def test_an_empty_region_measures_zero(metric):
    preds, target = random_mattes(0)
    assert metric(preds, target, ~everywhere(preds)).item() == 0


@pytest.mark.parametrize("metric", ALPHA_METRICS)
def test_equal_mattes_measure_zero_arguments_stay_and_images_do_not_mix(metric):
    pairs = [random_mattes(seed) for seed in range(2)]
    preds, target = (torch.cat(maps) for maps in zip(*pairs, strict=True))
    before = preds.clone(), target.clone()
    mask = everywhere(preds)
    assert metric(preds, preds, mask).tolist() == [0, 0]
    torch.testing.assert_close(metric(preds, target, mask), torch.cat([metric(*pair, mask[:1]) for pair in pairs]))
    assert torch.equal(preds, before[0])
    assert torch.equal(target, before[1])


@pytest.mark.parametrize("metric", ALPHA_METRICS)
def test_metrics_take_maps_that_carry_a_graph(metric):
    preds, target = random_mattes(0)
    mask = everywhere(preds)
    assert torch.equal(metric(preds.clone().requires_grad_(), target, mask), metric(preds, target, mask))


def test_foreground_error_is_weighted_by_alpha_and_channels_are_added_or_averaged():
    preds = torch.tensor([[0.3, 0.6, 0.9], [1.0, 1.0, 1.0]]).T.reshape(1, 3, 1, 2)
    alpha = image([[0.5, 0.0]])
    arguments = (preds, torch.zeros_like(preds), alpha, everywhere(alpha))
    assert foreground_sad(*arguments).item() == pytest.approx(0.9)
    assert foreground_sad(*arguments, channel_reduction="mean").item() == pytest.approx(0.3)
    assert foreground_mse(*arguments).item() == pytest.approx((0.0225 + 0.09 + 0.2025) / 2)
    assert foreground_mse(*arguments, channel_reduction="mean").item() == pytest.approx((0.0225 + 0.09 + 0.2025) / 6)
    only_clear = image([[False, True]])
    assert foreground_sad(*arguments[:3], only_clear).item() == 0


def gradient_reference(maps: np.ndarray) -> np.ndarray:
    """Line by line what `gaussgradient.m` does, in double precision and with the whole 9×9 kernel."""
    maps = (maps - maps.min()) / (maps.max() - maps.min())
    sigma = 1.4
    half_size = int(np.ceil(sigma * np.sqrt(-2 * np.log(np.sqrt(2 * np.pi) * sigma * 0.01))))
    u = np.arange(-half_size, half_size + 1)
    gauss = np.exp(-(u**2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
    kernel = np.outer(gauss, -u * gauss / sigma**2)
    kernel /= np.sqrt((kernel**2).sum())
    return np.hypot(*(scipy.ndimage.convolve(maps, k, mode="nearest") for k in (kernel, kernel.T)))


def test_gradient_matches_the_full_kernel():
    preds, target = random_mattes(3)
    mask = torch.rand(preds.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    magnitudes = [gradient_reference(maps[0, 0].double().numpy()) for maps in (preds, target)]
    expected = ((magnitudes[0] - magnitudes[1]) ** 2)[mask[0, 0].numpy()].sum()
    assert gradient(preds, target, mask).item() == pytest.approx(expected, rel=1e-5)


def test_the_gradient_of_other_devices_is_that_of_the_cpu():
    maps = torch.rand(2, 1, 17, 23, generator=torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(maps - maps.amin(dim=(1, 2, 3), keepdim=True), (4,) * 4, mode="replicate")
    spread = maps.amax(dim=(1, 2, 3), keepdim=True) - maps.amin(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(gradient_magnitude(maps), _magnitude_by_shifts(padded) / spread)


def test_gradient_stretches_each_matte_by_its_own_extremes_in_the_whole_image():
    _, target = random_mattes(1)
    mask = everywhere(target)
    assert gradient(0.2 + 0.5 * target, target, mask).item() == pytest.approx(0, abs=1e-8)
    # A bright known pixel far from the region halves what the region shows.
    ramp = torch.arange(40.0).expand(1, 1, 12, 40) / 78
    spiked = ramp.clone()
    spiked[..., 0, 0] = 1.0
    mask = torch.zeros_like(ramp, dtype=torch.bool)
    mask[..., 6, 20] = True
    whole, none = gradient(spiked, spiked * 0, mask), gradient(ramp, ramp * 0, mask)
    assert whole.item() == pytest.approx(none.item() / 4, rel=1e-5)


def test_a_constant_matte_has_gradient_exactly_zero():
    constant = torch.full((1, 1, 16, 16), 0.3)
    assert gradient(constant, torch.full_like(constant, 0.7), everywhere(constant)).item() == 0


def connectivity_reference(preds: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> float:
    """Line by line what `compute_connectivity_error.m` does: ten labellings, of transposed images for its order."""
    preds, target, mask = (maps[0, 0].numpy().T for maps in (preds, target, mask))
    steps = np.linspace(0, 1, 11).astype(np.float32)
    connected = np.full(preds.shape, -1, np.float32)
    for before, step in itertools.pairwise(steps):
        labels, count = scipy.ndimage.label((preds >= step) & (target >= step))
        largest = labels == np.bincount(labels.ravel())[1:].argmax() + 1 if count else np.zeros(preds.shape, bool)
        connected[(connected == -1) & ~largest] = before
    connected[connected == -1] = 1
    phi = [1 - (maps - connected) * (maps - connected >= np.float32(0.15)) for maps in (preds, target)]
    return np.abs(phi[0] - phi[1])[mask].sum(dtype=np.float64)


@pytest.mark.parametrize("seed", range(12))
def test_connectivity_matches_ten_labellings(seed: int):
    preds, target = random_mattes(seed)
    mask = torch.rand(preds.shape, generator=torch.Generator().manual_seed(seed)) < 0.7
    assert connectivity(preds, target, mask).item() == pytest.approx(connectivity_reference(preds, target, mask), 1e-5)


@pytest.mark.parametrize(
    ("preds", "target", "expected"),
    [
        # Nothing is shared, and the background is no component: every l is 0, as for SAD.
        pytest.param([[1.0, 0.0]], [[0.0, 1.0]], 2.0, id="background"),
        # The smaller piece hangs on nothing: its l is 0, so it shows all of its error, 2 · 0.1.
        pytest.param([[1.0, 1.0, 1.0, 0.0, 0.9, 0.9]], [[1.0, 1.0, 1.0, 0.0, 1.0, 1.0]], 0.2, id="largest piece"),
        # Of equal pieces the lower left one comes first, and has l = 0.7: d = 0.05, not counted, and 0.3.
        # The upper right one is the largest at 0.8 only, too late: its l is 0, |0.85 - 0.9|.
        pytest.param([[0.0, 0.85], [0.75, 0.0]], [[0.0, 0.9], [1.0, 0.0]], 0.35, id="tie"),
        # Diagonal neighbours are two pieces; with 8 neighbours the second would have l = 0.9 and cost nothing.
        pytest.param([[1.0, 0.0], [0.0, 0.9]], [[1.0, 0.0], [0.0, 1.0]], 0.1, id="diagonal"),
        # In single precision 153/255 reaches 0.6: l = 0.6, d = 0 and 0.4. In double precision it would be 0.5.
        pytest.param([[153 / 255]], [[1.0]], 0.4, id="single precision"),
        # l = 0.7: distances of 0.04 and 0.14 are not counted, one of 0.15 is.
        pytest.param([[0.74]], [[0.84]], 0.0, id="below 0.15"),
        pytest.param([[0.74]], [[0.85]], 0.15, id="at 0.15"),
        # The wide piece is the largest up to 0.5; from 0.6 on the bright one is, but 0.1 missed it: its l is 0.
        pytest.param([[0.5, 0.5, 0.5, 0.0, 1.0, 1.0]], [[0.5, 0.5, 0.5, 0.0, 0.9, 0.9]], 0.2, id="change of piece"),
    ],
)
def test_connectivity_by_hand(preds: list[list[float]], target: list[list[float]], expected: float):
    maps = image(preds), image(target)
    assert connectivity(*maps, everywhere(maps[0])).item() == pytest.approx(expected, abs=1e-6)


def test_pieces_are_those_of_the_whole_image_also_where_only_a_region_is_measured():
    preds, target = image([[1.0, 1.0, 0.0, 0.8]]), image([[1.0, 1.0, 0.0, 0.9]])
    assert connectivity(preds, target, image([[False, False, False, True]])).item() == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize("metric", ALPHA_METRICS)
def test_wrong_shapes_and_masks_are_named(metric):
    maps = torch.zeros(1, 1, 8, 8)
    with pytest.raises(ValueError, match=r"got \(1, 1, 8, 8\) and \(1, 3, 8, 8\)"):
        metric(maps, maps.expand(1, 3, 8, 8), everywhere(maps))
    with pytest.raises(ValueError, match="mask: expected bool"):
        metric(maps, maps, maps)


def test_foreground_metrics_name_what_is_wrong():
    colour, alpha = torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
    with pytest.raises(ValueError, match=r"alpha: expected \(1, 1, 8, 8\), got \(1, 3, 8, 8\)"):
        foreground_sad(colour, colour, colour, everywhere(alpha))
    with pytest.raises(ValueError, match="channel_reduction: expected 'sum' or 'mean', got 'max'"):
        foreground_mse(colour, colour, alpha, everywhere(alpha), channel_reduction="max")
