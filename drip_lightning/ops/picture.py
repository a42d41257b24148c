"""Tensors as pictures of 8 bits."""

from PIL import Image
from torch import Tensor


def as_picture(values: Tensor) -> Image.Image:
    """A tensor as a picture; values are rounded, and what lies outside [0, 1] is clipped.

    Args:
        values: (C, H, W) in [0, 1]; grey, colour, or straight colour and alpha, for C of 1, 3 or 4.
    """
    pixels = (values.detach().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
