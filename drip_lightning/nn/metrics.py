"""The metrics of `drip_lightning.ops.metrics` as `torchmetrics.Metric`s: means over images, exact over ranks."""

from abc import abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from drip_lightning.ops import metrics
from drip_lightning.ops.connectivity import connectivity
from drip_lightning.ops.trimap import unknown_mask

Region = Literal["unknown", "whole"]


class _MeanOverImages(Metric):
    """Mean over images of one raw value an image; the sum and the count are added over ranks.

    The sum is float64, so that the mean does not depend on how images fell to batches and ranks. Images are counted as
    they come: a distributed sampler that repeats some must be told not to (compare `images` with the test set's size).
    `compute` before any image is NaN, with torchmetrics' warning that `update` was not called.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    total: Tensor
    images: Tensor

    def __init__(self, *, region: Region = "unknown", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if region not in ("unknown", "whole"):
            raise ValueError(f"region: expected 'unknown' or 'whole', got {region!r}")
        self.region = region
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def compute(self) -> Tensor:
        """The mean over all images seen by all ranks, a float64 scalar."""
        return self.total / self.images

    def _mask(self, trimap: Tensor) -> Tensor:
        return unknown_mask(trimap) if self.region == "unknown" else torch.ones_like(trimap, dtype=torch.bool)

    def _add(self, values: Tensor) -> None:
        self.total += values.sum(dtype=torch.float64)
        self.images += len(values)


class _AlphaMetric(_MeanOverImages):
    def update(self, preds: Tensor, target: Tensor, trimap: Tensor) -> None:
        """Add a batch.

        Args:
            preds: (B, 1, H, W) in [0, 1], the predicted matte.
            target: (B, 1, H, W) in [0, 1], the true matte.
            trimap: (B, 1, H, W), exactly 0, 0.5 (unknown) or 1.

        Raises:
            ValueError: shapes differ.
        """
        self._add(self._measure(preds, target, self._mask(trimap)))

    @abstractmethod
    def _measure(self, preds: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """One value an image (B,), where `mask` is set."""


class SAD(_AlphaMetric):
    """Mean over images of the sum of absolute differences, in pixels (tables divide by 1000).

    Args:
        region: Measure the trimap's unknown pixels, or the whole image.
        kwargs: See `torchmetrics.Metric`.
    """

    def _measure(self, preds: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        return metrics.sad(preds, target, mask)


class MSE(_AlphaMetric):
    """Mean over images of the mean squared error (tables multiply by 1000); 0 for an image without such a region.

    Args:
        region: Measure the trimap's unknown pixels, or the whole image.
        kwargs: See `torchmetrics.Metric`.
    """

    def _measure(self, preds: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        return metrics.mse(preds, target, mask)


class MAD(_AlphaMetric):
    """Mean over images of the mean absolute difference; 0 for an image without such a region.

    Args:
        region: Measure the trimap's unknown pixels, or the whole image.
        kwargs: See `torchmetrics.Metric`.
    """

    def _measure(self, preds: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        return metrics.mad(preds, target, mask)


class Gradient(_AlphaMetric):
    """Mean over images of the summed squared difference of gradient magnitudes (tables divide by 1000).

    Args:
        region: Measure the trimap's unknown pixels, or the whole image.
        kwargs: See `torchmetrics.Metric`.
    """

    def _measure(self, preds: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        return metrics.gradient(preds, target, mask)


class Connectivity(_AlphaMetric):
    """Mean over images of the connectivity error (tables divide by 1000). Runs on the CPU, wherever the tensors are.

    Args:
        region: Measure the trimap's unknown pixels, or the whole image.
        kwargs: See `torchmetrics.Metric`.
    """

    def _measure(self, preds: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        return connectivity(preds, target, mask)


class _ForegroundMetric(_MeanOverImages):
    def __init__(
        self, *, region: Region = "unknown", channel_reduction: metrics.Reduction = "sum", **kwargs: Any
    ) -> None:
        super().__init__(region=region, **kwargs)
        if channel_reduction not in ("sum", "mean"):
            raise ValueError(f"channel_reduction: expected 'sum' or 'mean', got {channel_reduction!r}")
        self.channel_reduction = channel_reduction

    def update(self, preds: Tensor, target: Tensor, alpha: Tensor, trimap: Tensor) -> None:
        """Add a batch.

        Args:
            preds: (B, 3, H, W) in [0, 1], the predicted straight colour.
            target: (B, 3, H, W) in [0, 1], the true straight colour.
            alpha: (B, 1, H, W) in [0, 1], the true matte.
            trimap: (B, 1, H, W), exactly 0, 0.5 (unknown) or 1.

        Raises:
            ValueError: shapes differ.
        """
        self._add(self._measure(preds, target, alpha, self._mask(trimap)))

    @abstractmethod
    def _measure(self, preds: Tensor, target: Tensor, alpha: Tensor, mask: Tensor) -> Tensor:
        """One value an image (B,), where `mask` is set."""


class ForegroundSAD(_ForegroundMetric):
    """Mean over images of `Σ|alpha (preds - target)|`, in pixels (tables divide by 1000).

    Args:
        region: Measure the trimap's unknown pixels, or the whole image.
        channel_reduction: Add the three channels, as published figures seem to, or average them.
        kwargs: See `torchmetrics.Metric`.
    """

    def _measure(self, preds: Tensor, target: Tensor, alpha: Tensor, mask: Tensor) -> Tensor:
        return metrics.foreground_sad(preds, target, alpha, mask, channel_reduction=self.channel_reduction)


class ForegroundMSE(_ForegroundMetric):
    """Mean over images of the mean of `(alpha (preds - target))²` (tables multiply by 1000).

    Args:
        region: Measure the trimap's unknown pixels, or the whole image.
        channel_reduction: Add the three channels, as `ForegroundSAD`, or average them.
        kwargs: See `torchmetrics.Metric`.
    """

    def _measure(self, preds: Tensor, target: Tensor, alpha: Tensor, mask: Tensor) -> Tensor:
        return metrics.foreground_mse(preds, target, alpha, mask, channel_reduction=self.channel_reduction)
