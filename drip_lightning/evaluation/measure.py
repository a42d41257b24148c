"""One matte against the truth: every metric of the region, and the error in each stratum of the true alpha."""

from typing import TypedDict

import torch
from torch import Tensor

from drip_lightning.data.sample import MattingBatch
from drip_lightning.nn.metrics import Region
from drip_lightning.nn.sampler import Matte
from drip_lightning.ops.connectivity import connectivity
from drip_lightning.ops.metrics import Reduction, foreground_mse, foreground_sad, gradient, mad, mse, sad
from drip_lightning.ops.strata import alpha_strata
from drip_lightning.ops.trimap import unknown_mask

ALPHA_METRICS = {"sad": sad, "mse": mse, "mad": mad, "gradient": gradient, "connectivity": connectivity}
FOREGROUND_METRICS = {"sad": foreground_sad, "mse": foreground_mse}


class StratumError(TypedDict):
    """Errors of alpha in the pixels of one kind: their number, Σ|error| and Σ error²."""

    pixels: int
    absolute: float
    squared: float


class Scores(TypedDict):
    """What is measured of one matte; raw values, under names that say the region."""

    metrics: dict[str, float]
    strata: dict[str, StratumError]


def metric_names(region: Region) -> list[str]:
    """The metrics' names, in the order of the columns."""
    return [
        *(f"alpha_{name}_{region}" for name in ALPHA_METRICS),
        *(f"foreground_{name}_{region}" for name in FOREGROUND_METRICS),
    ]


def region_mask(trimap: Tensor, region: Region) -> Tensor:
    """Where to measure: bool, in the trimap's shape."""
    return unknown_mask(trimap) if region == "unknown" else trimap >= 0


def as_file(matte: Matte, trimap: Tensor, *, takes_known: bool = True) -> Matte:
    """What a picture file of the matte would hold, in 8 bits.

    Published figures are measured on such files; gradient and connectivity see the known pixels, too.

    Args:
        matte: As predicted.
        trimap: (B, 1, H, W), 0, 0.5 or 1.
        takes_known: Take alpha from the trimap where that is sure.
    """
    alpha, foreground = ((maps.float().clamp(0, 1) * 255).round() / 255 for maps in (matte.alpha, matte.foreground))
    if takes_known:
        alpha = torch.where(unknown_mask(trimap), alpha, trimap)
    return Matte(foreground=foreground, alpha=alpha)


def measure(
    matte: Matte,
    batch: MattingBatch,
    region: Region,
    *,
    foreground: bool = True,
    channel_reduction: Reduction = "sum",
) -> Scores:
    """Measure a batch of one picture; the foreground's metrics are there only if its truth is.

    Args:
        matte: What a method made.
        batch: The picture, with the truth.
        region: Where to measure.
        foreground: Whether the method made a foreground at all.
        channel_reduction: Add the foreground's three channels, or average them.
    """
    alpha, mask = batch["alpha"], region_mask(batch["trimap"], region)
    metrics = {
        f"alpha_{name}_{region}": metric(matte.alpha, alpha, mask).item() for name, metric in ALPHA_METRICS.items()
    }
    if foreground and "foreground" in batch:
        metrics |= {
            f"foreground_{name}_{region}": metric(
                matte.foreground, batch["foreground"], alpha, mask, channel_reduction=channel_reduction
            ).item()
            for name, metric in FOREGROUND_METRICS.items()
        }
    strata = {}
    for name, kind in alpha_strata(alpha).items():
        part = kind & mask
        absolute = sad(matte.alpha, alpha, part).item()
        pixels = int(part.sum())
        strata[name] = StratumError(
            pixels=pixels, absolute=absolute, squared=mse(matte.alpha, alpha, part).item() * pixels
        )
    return Scores(metrics=metrics, strata=strata)
