"""Sizes: bring a picture to what the network takes, and its result back to what the user gave."""

import torch
import torch.nn.functional as F
from torch import Tensor


def pad_to_multiple(picture: Tensor, multiple: int) -> tuple[Tensor, tuple[int, int]]:
    """Extend a picture to the right and downwards, repeating its last column and row, to sizes the network takes.

    Args:
        picture: (…, H, W), any dtype, at least one pixel.
        multiple: What height and width shall be multiples of.

    Returns:
        The picture of shape (…, H', W') and its true size (H, W), which `unpad` wants.

    Raises:
        ValueError: the picture is empty or the multiple is not positive.
    """
    height, width = picture.shape[-2:]
    if height < 1 or width < 1 or multiple < 1:
        raise ValueError(f"padding: expected a picture and a positive multiple, got {tuple(picture.shape)}, {multiple}")
    return repeat_edge(picture, (height + -height % multiple, width + -width % multiple)), (height, width)


def repeat_edge(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Extend a picture (…, h, w) to (…, H, W) by repeating its last row and column; one of that size is returned."""
    for axis, wanted in zip((-2, -1), size, strict=True):
        length = picture.shape[axis]
        if length < wanted:
            positions = torch.arange(wanted, device=picture.device).clamp_max(length - 1)
            picture = picture.index_select(axis, positions)
    return picture


def unpad(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Undo `pad_to_multiple`: the upper left (H, W) of a picture of shape (…, H', W')."""
    height, width = size
    return picture[..., :height, :width]


def reduce_picture(picture: Tensor, factor: int) -> Tensor:
    """Average squares of `factor` × `factor` pixels: (B, C, H, W) to (B, C, H / factor, W / factor)."""
    return picture if factor == 1 else F.avg_pool2d(picture, factor)


def enlarge_picture(picture: Tensor, factor: int) -> Tensor:
    """Bring a picture (B, C, h, w) to (B, C, factor · h, factor · w), bilinearly."""
    return picture if factor == 1 else F.interpolate(picture, scale_factor=factor, mode="bilinear")


def reduce_trimap(trimap: Tensor, factor: int) -> Tensor:
    """Reduce a trimap of 0, 0.5 and 1 as `reduce_picture`: sure where all its pixels are, and the same."""
    mean = reduce_picture(trimap, factor)
    return torch.where((mean == 0) | (mean == 1), mean, 0.5)
