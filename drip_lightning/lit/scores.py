"""The scores of a matte that every stage reports while it trains."""

from torch import Tensor, nn
from torchmetrics import MetricCollection, SumMetric

from drip_lightning.data.sample import MattingBatch
from drip_lightning.nn.metrics import MSE, SAD, ForegroundMSE, ForegroundSAD
from drip_lightning.pipeline import Matte


class MatteScores(nn.Module):
    """Alpha's SAD and MSE, and the foreground's, all in the trimap's unknown region; means over images, raw values."""

    def __init__(self) -> None:
        super().__init__()
        self.images, self.foregrounds = SumMetric(), SumMetric()
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
        self.images.update(len(batch["key"]))
        self.foregrounds.update(len(batch["key"]) if "foreground" in batch else 0)
        self.alpha.update(matte.alpha, batch["alpha"], batch["trimap"])
        if "foreground" in batch:
            self.foreground.update(matte.foreground, batch["foreground"], batch["alpha"], batch["trimap"])

    def compute_and_reset(self) -> tuple[dict[str, Tensor], int]:
        """Scores since the last call, over all ranks, by name, and the number of images they are means of.

        Foreground scores are there only if some image had a true foreground.
        """
        images, foregrounds = int(self.images.compute()), int(self.foregrounds.compute())  # every rank gets the same
        scores = self.alpha.compute() | (self.foreground.compute() if foregrounds else {})
        for metric in (self.images, self.foregrounds, self.alpha, self.foreground):
            metric.reset()
        return {name: score.float() for name, score in scores.items()}, images
