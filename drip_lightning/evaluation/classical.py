"""Matting without learning, by PyMatting: an alpha from the trimap, then the foreground colours that fit it."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from drip_lightning.data.sample import MattingBatch
from drip_lightning.errors import InputError, raised_as
from drip_lightning.evaluation.method import Method
from drip_lightning.nn.sampler import Matte
from drip_lightning.ops.hints.closed_form import multilevel_foreground
from drip_lightning.ops.solvers import pymatting, silently

SOLVERS = {
    "closed-form": "estimate_alpha_cf",
    "knn": "estimate_alpha_knn",
    "large-kernel": "estimate_alpha_lkm",
}
"""Name to PyMatting's function: Levin et al. 2008; Chen et al. 2013; He et al. 2010."""


class Classical(Method):
    """One of PyMatting's solvers with its defaults, and multilevel foreground estimation (Germer et al. 2020).

    It runs on the CPU in double precision, wherever the batch is.
    """

    def __init__(self, solver: str) -> None:
        super().__init__(solver)
        self._solver = solver

    def mattes(self, batch: MattingBatch, *, steps: int | None, seeds: Sequence[int]) -> tuple[Matte, ...]:
        """Solve for alpha, then for the foreground."""
        image, trimap = _pixels(batch["image"]), _pixels(batch["trimap"])[..., 0]
        known = [value for value in (0, 1) if (trimap == value).any()]
        if len(known) < 2:
            raise InputError(f"{self._solver} matting wants known foreground and known background in the trimap")
        failed = f"{self._solver} matting finds no solution: the picture is flat, or too small"
        with silently(), raised_as(InputError, ArithmeticError, AssertionError, ValueError, message=lambda _: failed):
            alpha = getattr(pymatting, SOLVERS[self._solver])(image, trimap)
        return (_matte(pymatting.estimate_foreground_ml(image, alpha), alpha, like=batch["image"]),)

    def describe(self) -> dict[str, str | int | float]:
        """Solver and version."""
        version = pymatting.__version__
        return {"kind": f"PyMatting {version} {SOLVERS[self._solver]}, multilevel foreground"}


class TrueAlpha(Method):
    """A ceiling for foreground estimation: multilevel, given the true alpha."""

    def __init__(self) -> None:
        super().__init__("true-alpha")

    def mattes(self, batch: MattingBatch, *, steps: int | None, seeds: Sequence[int]) -> tuple[Matte, ...]:
        """Take alpha from the truth, and solve for the foreground."""
        return (Matte(multilevel_foreground(batch["image"], batch["alpha"]), batch["alpha"]),)

    def describe(self) -> dict[str, str | int | float]:
        """Say that it looks at the truth."""
        return {"kind": f"the truth as alpha, PyMatting {pymatting.__version__} multilevel foreground"}


def _pixels(maps: Tensor) -> np.ndarray:
    """(1, C, H, W) as (H, W, C) float64."""
    return maps[0].permute(1, 2, 0).double().cpu().numpy()


def _matte(foreground: np.ndarray, alpha: np.ndarray, *, like: Tensor) -> Matte:
    maps = [
        torch.from_numpy(np.atleast_3d(one)).permute(2, 0, 1)[None].clamp(0, 1).to(like) for one in (foreground, alpha)
    ]
    return Matte(foreground=maps[0], alpha=maps[1])
