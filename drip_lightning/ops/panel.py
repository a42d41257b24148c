"""Pictures to look at: image, trimap, alpha, foreground and the cut-out on a checkerboard, side by side."""

import torch
from torch import Tensor

from drip_lightning.ops.compositing import over


def checkerboard(height: int, width: int, *, square: int = 16) -> Tensor:
    """A light grey checkerboard (1, 3, H, W) in [0, 1], as image editors show transparency."""
    rows = torch.arange(height)[:, None] // square
    columns = torch.arange(width)[None, :] // square
    return (0.6 + 0.25 * ((rows + columns) % 2)).expand(1, 3, height, width)


def matte_panel(image: Tensor, trimap: Tensor, alpha: Tensor, foreground: Tensor) -> Tensor:
    """Set image, trimap, alpha, foreground and the composite on a checkerboard side by side.

    Args:
        image: (B, 3, H, W) in [0, 1].
        trimap: (B, 1, H, W) in [0, 1].
        alpha: (B, 1, H, W) in [0, 1].
        foreground: (B, 3, H, W) in [0, 1], straight colour.

    Returns:
        (B, 3, H, 5W) in [0, 1].
    """
    height, width = image.shape[-2:]
    on_checker = over(foreground, alpha, checkerboard(height, width).to(image).expand_as(image))
    pictures = [image, trimap.expand_as(image), alpha.expand_as(image), foreground, on_checker]
    return torch.cat(pictures, dim=-1)
