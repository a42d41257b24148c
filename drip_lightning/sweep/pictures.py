"""Keeps what a tested stage makes of the evaluation set's first pictures, for the report's grid."""

from pathlib import Path

from drip_lightning.data.datasets import EvaluationPictures
from drip_lightning.data.shards.reader import ShardFolder
from drip_lightning.evaluation.named import evaluation_data, methods_of
from drip_lightning.moved import moved_places
from drip_lightning.ops.picture import as_picture

KINDS = ("image", "trimap", "truth", "alpha", "foreground")
"""What is kept of each picture, as `NUMBER.KIND.png`."""


def keep_pictures(run: Path, folder: Path, *, count: int, steps: int | None = None, moved: str | None = None) -> None:
    """Matte the first evaluation pictures of a run's own configuration, and write them as PNG files.

    Args:
        run: Run folder of the stage.
        folder: Where to write; made if missing.
        count: How many.
        steps: Denoising steps; none takes the stage's own.
        moved: As `moved_places` takes it.
    """
    (method,) = methods_of([str(run)], moved=moved_places(moved))
    pictures = EvaluationPictures(ShardFolder(next(iter(evaluation_data(run).values()))))
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(min(count, len(pictures))):
        batch = pictures[number]
        matte = method.mattes(batch, steps=steps or method.default_steps, seeds=(0,))[-1]
        maps = (batch["image"], batch["trimap"], batch["alpha"], matte.alpha, matte.foreground)
        for kind, values in zip(KINDS, maps, strict=True):
            as_picture(values[0]).save(folder / f"{number}.{kind}.png")
