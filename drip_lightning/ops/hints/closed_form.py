"""Closed-form matting and multilevel colours, by PyMatting, as a network's starting point."""

import warnings

import numpy as np
import torch
from torch import Tensor

from drip_lightning.ops.hints.colours import propagated_colours
from drip_lightning.ops.solvers import pymatting


def closed_form_colours(image: Tensor, trimap: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Alpha by closed-form matting (Levin et al. 2008), colours by multilevel estimation (Germer et al. 2020).

    Arguments and results are those of `propagated_colours`, which stand in for a picture that lacks sure pixels of a
    side, or whose equations cannot be solved (a crop may be flat, or nearly). Computed on the CPU in double precision.
    """
    maps = propagated_colours(image.detach().float().cpu(), trimap.cpu())
    for place, (picture, sides) in enumerate(zip(image.detach().cpu(), trimap[:, 0].cpu(), strict=True)):
        if not ((sides == 0).any() and (sides == 1).any() and (sides == 0.5).any()):
            continue
        pixels = picture.double().permute(1, 2, 0).contiguous().numpy()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a preconditioner that needs a second try
                alpha = np.nan_to_num(pymatting.estimate_alpha_cf(pixels, sides.double().numpy()), nan=0.5)
            colours = pymatting.estimate_foreground_ml(pixels, alpha, return_background=True)
        except (ArithmeticError, ValueError):  # a system that is singular, or does not converge
            continue
        for result, found in zip(maps, (*colours, alpha[..., None]), strict=True):
            result[place] = torch.from_numpy(np.ascontiguousarray(found)).permute(2, 0, 1).clamp(0, 1)
    foreground, background, alpha_map = (one.to(image) for one in maps)
    return foreground, background, torch.where(trimap == 0.5, alpha_map, trimap)
