"""Closed-form matting and multilevel colours, by PyMatting, as a network's starting point."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from drip_lightning.ops.hints.colours import propagated_colours
from drip_lightning.ops.solvers import pymatting, silently

ITERATIONS = 600
"""Of the solver at most: pictures take tens, and what is too flat to be solved would take minutes to find that out."""
DISCARDED = 1e-3
"""Below which the preconditioner leaves entries out. PyMatting's own 1e-4 takes longer to make than it saves."""


def closed_form_colours(image: Tensor, trimap: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Alpha by closed-form matting (Levin et al. 2008), colours by multilevel estimation (Germer et al. 2020).

    Arguments and results are those of `propagated_colours`, which stand in for a picture that lacks sure pixels of a
    side, or whose equations cannot be solved (a crop may be flat, or nearly). Computed on the CPU in double precision.
    """
    pictures, sides = image.detach().float().cpu(), trimap.cpu()
    solved = [
        _solve(picture, side) or [one[0] for one in propagated_colours(picture[None], side[None])]
        for picture, side in zip(pictures, sides, strict=True)
    ]
    foreground, background, alpha = (torch.stack(maps).to(image) for maps in zip(*solved, strict=True))
    return foreground, background, torch.where(trimap == 0.5, alpha, trimap)


def multilevel_foreground(image: Tensor, alpha: Tensor) -> Tensor:
    """The foreground (B, 3, H, W) by multilevel estimation (Germer et al. 2020), given alpha (B, 1, H, W) in [0, 1]."""
    pairs = zip(image.detach().float().cpu(), alpha.detach().float().cpu(), strict=True)
    found = [pymatting.estimate_foreground_ml(_pixels(picture), matte[0].double().numpy()) for picture, matte in pairs]
    return torch.stack([_maps(one) for one in found]).to(image)


def _solve(picture: Tensor, sides: Tensor) -> list[Tensor] | None:
    """Foreground, background (3, H, W) and alpha (1, H, W); none where the equations have no solution."""
    if not all((sides == side).any() for side in (0, 0.5, 1)):
        return None
    pixels = _pixels(picture)
    try:
        with silently():
            known = sides[0].double().numpy()
            alpha = pymatting.estimate_alpha_cf(pixels, known, _preconditioner, cg_kwargs={"maxiter": ITERATIONS})
        alpha = np.nan_to_num(alpha, nan=0.5)
        colours = pymatting.estimate_foreground_ml(pixels, alpha, return_background=True)
    except (ArithmeticError, ValueError):  # a system that is singular, or does not converge
        return None
    return [_maps(found) for found in (*colours, alpha[..., None])]


def _pixels(picture: Tensor) -> np.ndarray:
    return picture.double().permute(1, 2, 0).contiguous().numpy()


def _maps(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).clamp(0, 1).float()


def _preconditioner(equations: Any) -> Callable[[np.ndarray], np.ndarray]:
    return pymatting.ichol(equations, discard_threshold=DISCARDED)
