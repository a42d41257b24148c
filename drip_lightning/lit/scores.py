"""The scores of a matte that every stage reports while it trains."""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torchmetrics import MetricCollection, SumMetric

from drip_lightning.data.sample import MattingBatch
from drip_lightning.nn.metrics import MSE, SAD, ForegroundMSE, ForegroundSAD
from drip_lightning.nn.sampler import Matte

M = TypeVar("M", bound=nn.Module)


class OfEachSet(nn.Module, Generic[M]):
    """Metrics of each evaluation set, made anew when a validation first needs them.

    Args:
        make: Makes the metrics of one set.
    """

    def __init__(self, make: Callable[[], M]) -> None:
        super().__init__()
        self._make = make
        self._sets = nn.ModuleList()

    def of(self, number: int, device: torch.device) -> M:
        """Those of a set by its number."""
        while len(self._sets) <= number:
            self._sets.append(self._make().to(device))
        return self._sets[number]  # type: ignore[return-value]

    def take(self) -> list[M]:
        """Those of every set, in order; the next validation begins without them."""
        taken = list(self._sets)
        self._sets = nn.ModuleList()
        return taken  # type: ignore[return-value]


def validation_prefix(trainer: Trainer, number: int) -> str:
    """What is logged of an evaluation set begins with it: `val`, or `val/NAME` of one of several by name."""
    names = getattr(getattr(trainer, "datamodule", None), "evaluation_names", ())
    name = names[number] if number < len(names) else str(number or "")
    return f"val/{name}" if name else "val"


class MatteScores(nn.Module):
    """Alpha's SAD and MSE, and the foreground's, all in the trimap's unknown region; means over images, raw values."""

    def __init__(self) -> None:
        super().__init__()
        self.foregrounds = SumMetric()
        # compute groups would merge metrics whose first values happen to be equal
        self.alpha = MetricCollection(
            {"alpha_sad_unknown": SAD(region="unknown"), "alpha_mse_unknown": MSE(region="unknown")},
            compute_groups=False,
        )
        self.foreground = MetricCollection(
            {
                "foreground_sad_unknown": ForegroundSAD(region="unknown"),
                "foreground_mse_unknown": ForegroundMSE(region="unknown"),
            },
            compute_groups=False,
        )

    def update(self, matte: Matte, batch: MattingBatch) -> None:
        """Add a batch of predictions; the foreground counts where the batch has a true one."""
        self.foregrounds.update(len(batch["key"]) if "foreground" in batch else 0)
        self.alpha.update(matte.alpha, batch["alpha"], batch["trimap"])
        if "foreground" in batch:
            self.foreground.update(matte.foreground, batch["foreground"], batch["alpha"], batch["trimap"])

    def compute(self) -> dict[str, Tensor]:
        """Scores over all ranks, by name; the foreground's are there only if some image had a true foreground."""
        foregrounds = int(self.foregrounds.compute())  # every rank gets the same
        scores = self.alpha.compute() | (self.foreground.compute() if foregrounds else {})
        return {name: score.float() for name, score in scores.items()}
