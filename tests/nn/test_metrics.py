import pytest
import torch

from drip_lightning.nn.metrics import MAD, MSE, SAD, Connectivity, ForegroundMSE, ForegroundSAD, Gradient
from drip_lightning.ops import metrics
from drip_lightning.ops.connectivity import connectivity

ALPHA_METRICS = {
    SAD: metrics.sad,
    MSE: metrics.mse,
    MAD: metrics.mad,
    Gradient: metrics.gradient,
    Connectivity: connectivity,
}
FOREGROUND_METRICS = {ForegroundSAD: metrics.foreground_sad, ForegroundMSE: metrics.foreground_mse}


def random_batch(images: int, *, channels: int = 1) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    preds, target = (torch.rand(images, channels, 12, 12, generator=generator) for _ in range(2))
    alpha, trimap = (torch.rand(images, 1, 12, 12, generator=generator) for _ in range(2))
    return preds, target, alpha, (trimap * 2).round() / 2


@pytest.mark.parametrize("region", ["unknown", "whole"])
@pytest.mark.parametrize("metric_class", ALPHA_METRICS)
def test_mean_over_images_does_not_depend_on_batches(metric_class, region):
    preds, target, _, trimap = random_batch(5)
    mask = trimap == 0.5 if region == "unknown" else trimap >= 0
    metric = metric_class(region=region)
    for part in (slice(0, 2), slice(2, 5)):
        metric.update(preds[part], target[part], trimap[part])
    expected = ALPHA_METRICS[metric_class](preds, target, mask).double().mean()
    torch.testing.assert_close(metric.compute(), expected, rtol=1e-6, atol=0)
    assert metric.images == 5


@pytest.mark.parametrize("channel_reduction", ["sum", "mean"])
@pytest.mark.parametrize("metric_class", FOREGROUND_METRICS)
def test_foreground_mean_over_images(metric_class, channel_reduction):
    preds, target, alpha, trimap = random_batch(3, channels=3)
    metric = metric_class(channel_reduction=channel_reduction)
    metric.update(preds, target, alpha, trimap)
    values = FOREGROUND_METRICS[metric_class](preds, target, alpha, trimap == 0.5, channel_reduction=channel_reduction)
    torch.testing.assert_close(metric.compute(), values.double().mean(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("metric_class", ALPHA_METRICS)
def test_uneven_ranks_add_up_to_one_process(metric_class):
    preds, target, _, trimap = random_batch(7)
    alone, *ranks = (metric_class() for _ in range(4))
    alone.update(preds, target, trimap)
    for rank, metric in enumerate(ranks):
        metric.update(preds[rank::3], target[rank::3], trimap[rank::3])
    for metric in ranks[1:]:
        ranks[0].merge_state(metric)
    assert ranks[0].images == 7
    assert ranks[0].compute().item() == pytest.approx(alone.compute().item(), rel=1e-12)
    assert all(reduce.__name__ == "dim_zero_sum" for reduce in alone._reductions.values())


@pytest.mark.parametrize("metric_class", [SAD, Gradient])
def test_half_precision_under_autocast_is_measured_in_single(metric_class):
    preds, target, _, trimap = random_batch(1)
    preds = preds.bfloat16()
    single, half = metric_class(), metric_class()
    single.update(preds.float(), target, trimap)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half.update(preds, target, trimap)
    assert half.compute() == single.compute()


def test_nothing_seen_is_nan_with_a_warning():
    with pytest.warns(UserWarning, match="before the ``update`` method"):
        assert SAD().compute().isnan()


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="region: expected 'unknown' or 'whole', got 'known'"):
        SAD(region="known")
    with pytest.raises(ValueError, match="channel_reduction"):
        ForegroundSAD(channel_reduction="max")
