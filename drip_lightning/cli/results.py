"""What `drip matte` writes for a picture."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from drip_lightning.files import whole_file
from drip_lightning.ops.panel import matte_panel
from drip_lightning.ops.picture import as_picture
from drip_lightning.pipeline import Matte

JPEG_SIDE = 65500
"""Longest side of a JPEG that Pillow writes, in pixels."""


def panel_path(result: Path) -> Path:
    """Where the panel lies that belongs to a result."""
    return result.with_suffix(".panel.jpg")


def write_result(path: Path, matte: Matte) -> None:
    """Write a cut-out with straight colour as RGBA PNG, whole or not at all.

    Colour is 0 where alpha is: what the networks say there means nothing, and would double the file.
    """
    alpha = matte.alpha[0].cpu()
    colour = matte.foreground[0].cpu() * ((alpha * 255).round() > 0)
    with whole_file(path) as file:
        as_picture(torch.cat([colour, alpha])).save(file)


def write_panel(path: Path, image: Tensor, trimap: Tensor, matte: Matte) -> None:
    """Write image, trimap and matte side by side as a JPEG, smaller where it would be too wide for one."""
    panel = as_picture(matte_panel(image, trimap, matte.alpha.cpu(), matte.foreground.cpu())[0])
    panel.thumbnail((JPEG_SIDE, JPEG_SIDE), Image.Resampling.BOX)
    with whole_file(path) as file:
        panel.save(file, quality=92)
