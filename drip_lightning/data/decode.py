"""From the bytes of a shard's sample to 8-bit pixels."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drip_lightning.data.pictures import open_picture
from drip_lightning.data.pixels import colour_pixels, grey_pixels, rgba_pixels
from drip_lightning.errors import InputError


@dataclass(frozen=True)
class EvaluationPicture:
    """An evaluation sample, uint8: image and foreground (3, H, W), trimap and alpha (1, H, W)."""

    image: Tensor
    trimap: Tensor
    alpha: Tensor
    foreground: Tensor | None


def decode_foreground(sample: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Decode `rgba.{png,webp}`, or `fg.{png,jpg,webp}` with `alpha.png`, to straight RGBA (H, W, 4).

    Args:
        sample: Members' bytes by extension, and `__key__`.

    Raises:
        InputError: a member is missing, cannot be decoded, is too big, or foreground and alpha differ in size.
    """
    member = _find(sample, "rgba.png", "rgba.webp")
    if member is not None:
        name = _name(sample, member)
        return rgba_pixels(open_picture(sample[member], name=name), name=name)
    member = _find(sample, "fg.png", "fg.jpg", "fg.webp")
    if member is None or "alpha.png" not in sample:
        raise _missing(sample, "rgba.png (or webp), or fg.png (or jpg, webp) with alpha.png")
    foreground = colour_pixels(open_picture(sample[member], name=_name(sample, member)))
    alpha = grey_pixels(open_picture(sample["alpha.png"], name=_name(sample, "alpha.png")))
    _check_sizes(sample, {member: foreground.shape[:2], "alpha.png": alpha.shape})
    return np.dstack([foreground, alpha])


def kind_of(sample: Mapping[str, Any]) -> str:
    """What the sample's JSON says of which kind it is; nothing if it does not.

    Raises:
        InputError: the JSON cannot be read.
    """
    try:
        facts = json.loads(sample.get("json", b"{}"))
    except ValueError as error:
        raise InputError(f"{_name(sample, 'json')} cannot be read ({error})") from error
    return str(facts.get("kind", "")) if isinstance(facts, dict) else ""


def decode_background(sample: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Decode `jpg`, `png` or `webp` to RGBA (H, W, 4) with alpha 255.

    Raises:
        InputError: the member is missing, cannot be decoded or is too big.
    """
    member = _find(sample, "jpg", "png", "webp")
    if member is None:
        raise _missing(sample, "jpg, png or webp")
    colour = colour_pixels(open_picture(sample[member], name=_name(sample, member)))
    return np.dstack([colour, np.full(colour.shape[:2], 255, np.uint8)])


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
    _check_sizes(sample, {member: tuple(picture.shape[-2:]) for member, picture in pictures.items()})
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


def _check_sizes(sample: Mapping[str, Any], sizes: Mapping[str, tuple[int, ...]]) -> None:
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{member} {width}x{height}" for member, (height, width) in sizes.items())
        raise InputError(f"{_name(sample, next(iter(sizes)))}: sizes differ: {listed}")
