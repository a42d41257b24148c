"""The picture grid: the same inputs, one column a variant."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from drip_lightning.ops.panel import checkerboard
from drip_lightning.report.variants import Variant
from drip_lightning.sweep.plan import SweepPlan
from drip_lightning.sweep.settings import TEST

_INCHES = 1.5


def draw_grid(plan: SweepPlan, variants: Sequence[Variant], folder: Path, out: Path) -> list[Path]:
    """`pictures.png`: image, trimap, true alpha, then each variant's alpha and cut-out of its first seed."""
    seeds = [seed for seed in plan.seeds if all(seed in variant.runs for variant in variants)]
    if not seeds:
        return []
    tests = [folder / "stages" / variant.runs[seeds[0]].stages[TEST] / "pictures" for variant in variants]
    numbers = [
        number for number in range(plan.pictures) if all((one / f"{number}.alpha.png").is_file() for one in tests)
    ]
    if not numbers:
        return []
    titles = ["image", "trimap", "true alpha", *(variant.name for variant in variants)]
    figure = Figure(figsize=(_INCHES * len(titles), _INCHES * 2 * len(numbers) + 0.6), layout="constrained")
    figure.suptitle(f"seed {seeds[0]}", fontsize="small")
    axes = figure.subplots(2 * len(numbers), len(titles), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for row, number in enumerate(numbers):
        known = [_read(tests[0], number, kind) for kind in ("image", "trimap", "truth")]
        for axis, picture in zip(axes[2 * row], known, strict=False):
            _show(axis, picture)
        for axis, test in zip(axes[2 * row][3:], tests, strict=True):
            _show(axis, _read(test, number, "alpha"))
        for axis, test in zip(axes[2 * row + 1][3:], tests, strict=True):
            _show(axis, _cut_out(_read(test, number, "foreground"), _read(test, number, "alpha")))
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title.replace(" ", "\n", 1) if len(title) > 14 else title, fontsize="x-small")
    path = out / "pictures.png"
    figure.savefig(path, dpi=110)
    return [path]


def _read(pictures: Path, number: int, kind: str) -> np.ndarray:
    with Image.open(pictures / f"{number}.{kind}.png") as picture:
        return np.asarray(picture)


def _cut_out(foreground: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Foreground on a checkerboard, uint8 (H, W, 3)."""
    checker = checkerboard(*alpha.shape)[0].permute(1, 2, 0).numpy() * 255
    weight = alpha[..., None] / 255
    return (foreground * weight + checker * (1 - weight)).round().astype(np.uint8)


def _show(axis: Axes, picture: np.ndarray) -> None:
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
