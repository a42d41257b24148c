"""A range test of the learning rate before the first step (Smith, WACV 2017), by Lightning's own finder."""

import csv
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateFinder
from lightning.pytorch.utilities import rank_zero_info

from drip_lightning.errors import InputError
from drip_lightning.files import whole_file


class LearningRateRange(LearningRateFinder):
    """Trains some steps with rising learning rates, says where the loss fell fastest, and undoes those steps.

    The run then trains as its configuration says, to the same weights bit for bit as without the test; only PyTorch's
    global generator, from which no stage draws, stands elsewhere. What was found is for the next configuration. All
    that was tried lands in `learning_rates.csv` in the run folder. A resumed run is not tested.
    """

    def __init__(self, min_lr: float = 1e-8, max_lr: float = 1.0, steps: int = 100) -> None:
        """Say what to try.

        Args:
            min_lr: The first step's rate.
            max_lr: The last step's; in between they grow by a constant factor.
            steps: How many; fewer if the loss becomes four times the least one.
        """
        if not 0 < min_lr < max_lr or steps < 20:
            raise InputError(
                "LearningRateRange: expected 0 < min_lr < max_lr and at least 20 steps, got "
                f"{min_lr}, {max_lr} and {steps}"
            )
        super().__init__(min_lr=min_lr, max_lr=max_lr, num_training_steps=steps, update_attr=False)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Test, and tell."""
        if trainer.ckpt_path is not None:
            return
        super().on_fit_start(trainer, pl_module)
        if self.optimal_lr is None or not trainer.is_global_zero:
            return
        file = Path(trainer.default_root_dir) / "learning_rates.csv"
        with whole_file(file) as partial, partial.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["learning_rate", "loss"])
            writer.writerows(zip(self.optimal_lr.results["lr"], self.optimal_lr.results["loss"], strict=True))
        fastest = self.optimal_lr.suggestion()
        found = "no rate made it fall" if fastest is None else f"it fell fastest at {fastest:.1e}"
        rank_zero_info(f"learning rate: {found}; {file} has the smoothed loss at each rate that was tried")


def refuse_to_set_the_rate(callbacks: list[object]) -> None:
    """Refuse Lightning's own finder, which would set an attribute that a stage does not have.

    Raises:
        InputError: it is among them.
    """
    if any(isinstance(one, LearningRateFinder) and not isinstance(one, LearningRateRange) for one in callbacks):
        raise InputError(
            "LearningRateFinder would set a rate that the configuration does not say: take LearningRateRange, which "
            "tells what it finds, and write it to model.init_args.optimizer.init_args.lr"
        )
