"""Kinds of matte by the true alpha, so that an error can be told apart: edge, strand or translucency."""

import torch.nn.functional as F
from torch import Tensor

STRATA = ("certain", "strand", "edge", "translucent")
"""Names of the strata, in the order in which the rules are asked."""

STRAND_WIDTH = 7
"""Pixels: what is narrower than this and stands out of its surroundings is a strand."""
STRAND_HEIGHT = 0.1
"""Alpha by which a strand stands out."""
EDGE_REACH = 8
"""Pixels: an edge has both opaque and clear pixels within this distance, along rows and columns."""


def alpha_strata(alpha: Tensor) -> dict[str, Tensor]:
    """Part the pixels of a true matte into four kinds, each pixel in exactly one.

    - `certain`: alpha is exactly 0 or 1.
    - `strand`: alpha exceeds its opening by a square of `STRAND_WIDTH` by more than `STRAND_HEIGHT` (white top-hat):
      thin bright structure, such as hair, fur or a net.
    - `edge`: an opaque pixel and a clear one lie within `EDGE_REACH`: the soft outline of something solid.
    - `translucent`: the rest: glass, smoke, broad blur.

    Args:
        alpha: (B, 1, H, W) in [0, 1].

    Returns:
        By name, in the order of `STRATA`, bool masks (B, 1, H, W).
    """
    certain = (alpha <= 0) | (alpha >= 1)
    strand = ~certain & (alpha - _opened(alpha, STRAND_WIDTH) > STRAND_HEIGHT)
    near = 2 * EDGE_REACH + 1
    outline = (_highest(alpha, near) >= 1) & (_lowest(alpha, near) <= 0)
    edge = ~certain & ~strand & outline
    return {"certain": certain, "strand": strand, "edge": edge, "translucent": ~(certain | strand | edge)}


def _opened(maps: Tensor, side: int) -> Tensor:
    return _highest(_lowest(maps, side), side)


def _highest(maps: Tensor, side: int) -> Tensor:
    """The maximum in the square around each pixel; beyond the border there is nothing."""
    rows = F.max_pool2d(maps, (1, side), stride=1, padding=(0, side // 2))
    return F.max_pool2d(rows, (side, 1), stride=1, padding=(side // 2, 0))


def _lowest(maps: Tensor, side: int) -> Tensor:
    return -_highest(-maps, side)
