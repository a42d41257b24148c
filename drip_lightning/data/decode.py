"""From the bytes of a shard's sample to 8-bit tensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from drip_lightning.data.pictures import colour_pixels, grey_pixels, open_picture, rgba_pixels
from drip_lightning.errors import InputError


@dataclass(frozen=True)
class ForegroundPicture:
    """A foreground sample: straight colour (3, H, W) and alpha (1, H, W), both uint8."""

    foreground: Tensor
    alpha: Tensor


@dataclass(frozen=True)
class EvaluationPicture:
    """An evaluation sample, uint8: image and foreground (3, H, W), trimap and alpha (1, H, W)."""

    image: Tensor
    trimap: Tensor
    alpha: Tensor
    foreground: Tensor | None


def decode_foreground(sample: Mapping[str, Any]) -> ForegroundPicture:
    """Decode `rgba.{png,webp}`, or `fg.{png,jpg,webp}` with `alpha.png`.

    Args:
        sample: Members' bytes by extension, and `__key__`.

    Raises:
        InputError: a member is missing, cannot be decoded, is too big, or foreground and alpha differ in size.
    """
    member = _find(sample, "rgba.png", "rgba.webp")
    if member is not None:
        rgba = decode_rgba(sample[member], name=_name(sample, member))
        return ForegroundPicture(foreground=rgba[:3], alpha=rgba[3:])
    member = _find(sample, "fg.png", "fg.jpg", "fg.webp")
    if member is None or "alpha.png" not in sample:
        raise _missing(sample, "rgba.png (or webp), or fg.png (or jpg, webp) with alpha.png")
    foreground = decode_colour(sample[member], name=_name(sample, member))
    alpha = decode_grey(sample["alpha.png"], name=_name(sample, "alpha.png"))
    _check_sizes(sample, {member: foreground, "alpha.png": alpha})
    return ForegroundPicture(foreground=foreground, alpha=alpha)


def decode_background(sample: Mapping[str, Any]) -> Tensor:
    """Decode `jpg`, `png` or `webp` to uint8 (3, H, W).

    Raises:
        InputError: the member is missing, cannot be decoded or is too big.
    """
    member = _find(sample, "jpg", "png", "webp")
    if member is None:
        raise _missing(sample, "jpg, png or webp")
    return decode_colour(sample[member], name=_name(sample, member))


def decode_evaluation(sample: Mapping[str, Any]) -> EvaluationPicture:
    """Decode `image.png`, `trimap.png`, `alpha.png` and, where there is one, `fg.png`.

    Raises:
        InputError: a member is missing, cannot be decoded, is too big, or sizes differ.
    """
    required = ("image.png", "trimap.png", "alpha.png")
    if any(member not in sample for member in required):
        raise _missing(sample, ", ".join(required))
    pictures = {
        member: (decode_grey if member in ("trimap.png", "alpha.png") else decode_colour)(
            sample[member], name=_name(sample, member)
        )
        for member in (*required, "fg.png")
        if member in sample
    }
    _check_sizes(sample, pictures)
    return EvaluationPicture(
        image=pictures["image.png"],
        trimap=pictures["trimap.png"],
        alpha=pictures["alpha.png"],
        foreground=pictures.get("fg.png"),
    )


def decode_colour(content: bytes, *, name: str) -> Tensor:
    """Decode a PNG, JPEG or WebP file of any mode to uint8 (3, H, W); transparency is dropped.

    Args:
        content: The file.
        name: What to call it in an error.

    Raises:
        InputError: it cannot be decoded or has more than `MAX_PIXELS`.
    """
    return _to_tensor(colour_pixels(open_picture(content, name=name)))


def decode_grey(content: bytes, *, name: str) -> Tensor:
    """Decode a picture used as a map (alpha, trimap) to uint8 (1, H, W); 16 bits are rounded to 8, colour to its luma.

    Arguments and errors are those of `decode_colour`.
    """
    return _to_tensor(grey_pixels(open_picture(content, name=name))[..., None])


def decode_rgba(content: bytes, *, name: str) -> Tensor:
    """Decode straight colour and alpha from one file to uint8 (4, H, W).

    Arguments and errors are those of `decode_colour`; a picture without transparency is an error too.
    """
    return _to_tensor(rgba_pixels(open_picture(content, name=name), name=name))


def _to_tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _find(sample: Mapping[str, Any], *members: str) -> str | None:
    return next((member for member in members if member in sample), None)


def _name(sample: Mapping[str, Any], member: str) -> str:
    shard = f" of {sample['__url__']}" if "__url__" in sample else ""
    return f"{sample['__key__']}.{member}{shard}"


def _missing(sample: Mapping[str, Any], expected: str) -> InputError:
    found = ", ".join(sorted(member for member in sample if not member.startswith("__"))) or "nothing"
    shard = f" of {sample['__url__']}" if "__url__" in sample else ""
    return InputError(f"sample {sample['__key__']!r}{shard}: expected {expected}, found {found}")


def _check_sizes(sample: Mapping[str, Any], pictures: Mapping[str, Tensor]) -> None:
    if len({tuple(picture.shape[-2:]) for picture in pictures.values()}) > 1:
        sizes = ", ".join(f"{member} {p.shape[-1]}x{p.shape[-2]}" for member, p in pictures.items())
        raise InputError(f"{_name(sample, next(iter(pictures)))}: sizes differ: {sizes}")
