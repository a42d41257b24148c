"""Keeps what a tested stage makes of the evaluation set's first pictures, for the report's grid."""

from pathlib import Path

from PIL import Image
from torch import Tensor

from drip_lightning.data.datasets import EvaluationPictures
from drip_lightning.data.shards.reader import ShardFolder
from drip_lightning.evaluation.named import evaluation_data, methods_of

KINDS = ("image", "trimap", "truth", "alpha", "foreground")
"""What is kept of each picture, as `NUMBER.KIND.png`."""


def keep_pictures(run: Path, folder: Path, *, count: int, steps: int | None = None) -> None:
    """Matte the first evaluation pictures of a run's own configuration, and write them as PNG files.

    Args:
        run: Run folder of the stage.
        folder: Where to write; made if missing.
        count: How many.
        steps: Denoising steps; none takes the stage's own.
    """
    (method,) = methods_of([str(run)])
    pictures = EvaluationPictures(ShardFolder(evaluation_data(run)))
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(min(count, len(pictures))):
        batch = pictures[number]
        matte = method.mattes(batch, steps=steps or method.default_steps, seeds=(0,))[-1]
        maps = (batch["image"], batch["trimap"], batch["alpha"], matte.alpha, matte.foreground)
        for kind, values in zip(KINDS, maps, strict=True):
            _picture(values[0]).save(folder / f"{number}.{kind}.png")


def _picture(values: Tensor) -> Image.Image:
    """(1, H, W) or (3, H, W) in [0, 1] as a picture of 8 bits."""
    pixels = (values.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
