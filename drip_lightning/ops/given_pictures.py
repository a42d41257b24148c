"""Pictures and trimaps as people hand them over, PIL, NumPy or torch, one or several, as tensors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from drip_lightning.errors import InputError
from drip_lightning.ops.trimap import quantise_trimap

Picture = Image.Image | np.ndarray | Tensor


def image_tensors(images: Picture | Sequence[Picture]) -> list[Tensor]:
    """Each picture as (1, 3, H, W), float32 in [0, 1].

    Args:
        images: One or a list of: a PIL picture, grey or colour; (H, W), (H, W, 1 or 3) or (N, H, W, 3) of NumPy;
            (H, W), (1 or 3, H, W) or (N, 3, H, W) of torch. Numbers are floats in [0, 1], uint8 or uint16.

    Raises:
        InputError: something else, or values beyond that.
    """
    return [one.expand(-1, 3, -1, -1).contiguous() for one in _each(images, "image", channels=(1, 3))]


def trimap_tensors(trimaps: Picture | Sequence[Picture]) -> list[Tensor]:
    """Each trimap as (1, 1, H, W), exactly 0 (background), 0.5 (unknown) or 1 (foreground).

    Args:
        trimaps: As `image_tensors` takes them, with one channel, or three alike; what lies between 0 and 1 is unknown.

    Raises:
        InputError: something else, or values beyond that.
    """
    greys = []
    for one in _each(trimaps, "trimap", channels=(1, 3)):
        if (one != one[:, :1]).any():
            raise InputError("trimap is coloured: give black for background, white for foreground, grey for unknown")
        greys.append(quantise_trimap(one[:, :1]))
    return greys


def _each(given: Any, name: str, channels: tuple[int, ...]) -> list[Tensor]:
    if isinstance(given, list | tuple):
        return [tensor for one in given for tensor in _each(one, name, channels)]
    pictures = _from_pil(given, name) if isinstance(given, Image.Image) else given
    if isinstance(pictures, np.ndarray):
        wide = pictures.astype(np.int32) if pictures.dtype == np.uint16 else pictures
        values = torch.from_numpy(np.array(wide))
        values = values.movedim(-1, -3) if values.ndim > 2 else values
        most = 65535 if pictures.dtype == np.uint16 else 255 if pictures.dtype == np.uint8 else None
    elif isinstance(pictures, Tensor):
        values, most = pictures.detach().cpu(), {torch.uint8: 255, torch.uint16: 65535}.get(pictures.dtype)
    else:
        raise InputError(f"{name}: expected PIL, NumPy or torch, one or a list, got {type(given).__name__}")
    values = values[(None,) * (4 - values.ndim)] if values.ndim in (2, 3) else values
    if values.ndim != 4 or values.shape[1] not in channels or 0 in values.shape:
        raise InputError(
            f"{name}: expected (H, W, C) of NumPy or (C, H, W) of torch, C of 1 or 3, got {tuple(given.shape)}"
        )
    if most is None and not values.is_floating_point():
        raise InputError(f"{name}: expected floats, uint8 or uint16, got {given.dtype}")
    values = values.float() if most is None else values.float() / most
    if not (values.min() >= 0 and values.max() <= 1):
        raise InputError(
            f"{name}: expected values in [0, 1] (or uint8), got {values.min().item():g} to {values.max().item():g}"
        )
    return list(values.split(1))


def _from_pil(picture: Image.Image, name: str) -> np.ndarray:
    if picture.mode in ("RGB", "L"):
        return np.asarray(picture)
    if picture.mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)
    if picture.mode in ("1", "P", "CMYK", "YCbCr", "HSV", "LAB") and not picture.has_transparency_data:
        return np.asarray(picture.convert("L" if picture.mode == "1" else "RGB"))
    raise InputError(
        f"{name}: PIL's mode {picture.mode} may mean several things: convert the picture to RGB or L first"
    )
