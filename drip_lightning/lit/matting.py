"""What the denoiser and the transparency stage share: they predict mattes, and are scored by them."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, cast

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from drip_lightning.data.sample import MattingBatch
from drip_lightning.errors import InputError
from drip_lightning.lit.scores import MatteScores, scores_table
from drip_lightning.lit.stage import Stage
from drip_lightning.ops.randomness import sample_generator
from drip_lightning.pipeline import Matte, MattingPipeline


class MattingStage(Stage):
    """A stage whose networks make mattes.

    Args:
        sampling_steps: Denoising steps in validation, test and prediction.
        seed: Decides, with the sample's number, every random draw.
        optimizer: Makes the optimizer from the trainable parameters.
        lr_scheduler: Makes the learning-rate schedule, advanced every step; none keeps the rate constant.
    """

    def __init__(
        self,
        *,
        sampling_steps: int,
        seed: int,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None,
    ) -> None:
        super().__init__(optimizer=optimizer, lr_scheduler=lr_scheduler)
        if sampling_steps < 1:
            raise InputError(f"sampling_steps: expected at least 1, got {sampling_steps}")
        self.sampling_steps = sampling_steps
        self.seed = seed
        self.scores = MatteScores()
        self.test_scores = nn.ModuleDict()

    @property
    @abstractmethod
    def pipeline(self) -> MattingPipeline:
        """The stage's networks, ready to matte."""

    @abstractmethod
    def pipelines_to_test(self) -> dict[str, MattingPipeline]:
        """What `drip test` compares, by the name of its row in the table."""

    def matte(self, batch: MattingBatch, pipeline: MattingPipeline) -> Matte:
        """Matte a batch; a sample's noise depends on its number and the seed alone."""
        generators = [sample_generator(self.seed, number, "sampling") for number in batch["number"]]
        return pipeline(batch["image"], batch["trimap"], steps=self.sampling_steps, generators=generators)

    def validation_step(self, batch: MattingBatch, batch_index: int) -> Matte:  # type: ignore[override]
        """Score the stage's mattes; the panels in TensorBoard are drawn from what is returned."""
        matte = self.matte(batch, self.pipeline)
        self.scores.update(matte, batch)
        return matte

    def on_validation_epoch_end(self) -> None:
        """Log the scores under names that say their region."""
        scores, _ = self.scores.compute_and_reset()
        self.log_dict({f"val/{name}": score for name, score in scores.items()})
        self.log("val/sad", scores["alpha_sad_unknown"], prog_bar=True, logger=False)

    def on_test_start(self) -> None:
        """Make one set of scores for each row of the table."""
        rows = ("trimap as alpha, image as foreground", *self.pipelines_to_test())
        self.test_scores = nn.ModuleDict({row: MatteScores() for row in rows}).to(self.device)

    def test_step(self, batch: MattingBatch, batch_index: int) -> None:
        """Score what needs no network, then every pipeline."""
        trivial = Matte(foreground=batch["image"], alpha=batch["trimap"])
        mattes = [trivial, *(self.matte(batch, pipeline) for pipeline in self.pipelines_to_test().values())]
        for scores, matte in zip(self.test_scores.values(), mattes, strict=True):
            cast(MatteScores, scores).update(matte, batch)

    def on_test_epoch_end(self) -> None:
        """Print the table and write it to `<run folder>/test.md`."""
        rows, images = {}, 0
        for row, module in self.test_scores.items():
            scores, images = cast(MatteScores, module).compute_and_reset()
            rows[row] = {name: float(score) for name, score in scores.items()}
            self.log_dict({f"test/{row}/{name}": score for name, score in scores.items()})
        title = f"{images} images, unknown region, {self.sampling_steps} denoising steps, seed {self.seed}"
        self._publish(scores_table(rows, title=title))

    @rank_zero_only
    def _publish(self, table: str) -> None:
        folder = Path(self.trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "test.md").write_text(table + "\n")
        print(table)

    def predict_step(self, batch: MattingBatch, batch_index: int) -> dict[str, Any]:
        """Matte a batch: `key`, `foreground` and `alpha`, as Lightning collects them."""
        matte = self.matte(batch, self.pipeline)
        return {"key": batch["key"], "foreground": matte.foreground, "alpha": matte.alpha}
