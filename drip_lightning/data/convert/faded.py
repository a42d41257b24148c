"""Colours that were taken for straight but fade to black or white with alpha: premultiplied, or cut out with a rim."""

import numpy as np

from drip_lightning.data.convert.mattes import MARGIN
from drip_lightning.data.convert.outcome import Bytes, Refusal

BLACK = "colours fade to black with alpha"
WHITE = "colours fade to white with alpha"
"""The warnings' names."""

_STRAY = 0.01
"""Share of partial pixels that may say otherwise."""
_TOLERANCE = 2
"""Values by which premultiplied colour may pass alpha: roundings, and what JPEG does."""


def fading(colour: Bytes, alpha: Bytes) -> str | None:
    """What colours seem to fade to where alpha is partial: `BLACK`, `WHITE` or None.

    Premultiplied colour is nowhere brighter than alpha, `aF <= a`. That tells something only where straight colour
    would be brighter: where alpha is less than the object's brightness, as its opaque pixels show it. White is black of
    the inverted colours: `aF + (1 - a) = 1 - a(1 - F)`.

    Args:
        colour: (H, W, 3).
        alpha: (H, W).
    """
    return BLACK if _fades_to_black(colour, alpha) else WHITE if _fades_to_black(255 - colour, alpha) else None


def _fades_to_black(colour: Bytes, alpha: Bytes) -> bool:
    brightness = colour.max(axis=2)
    opaque = alpha >= 255 - MARGIN
    telling = (alpha > MARGIN) & ~opaque
    if not opaque.any():
        return False  # a matte without opaque pixels says nothing of how bright the object is
    telling &= alpha + 4.0 * _TOLERANCE < np.median(brightness[opaque])
    return bool(telling.sum() >= 20 and _share_above_alpha(brightness, alpha, telling) <= _STRAY)


def _share_above_alpha(brightness: Bytes, alpha: Bytes, where: np.ndarray) -> float:
    return float((brightness[where].astype(int) > alpha[where].astype(int) + _TOLERANCE).mean()) if where.any() else 0.0


def divided_by_alpha(colour: Bytes, alpha: Bytes) -> Bytes:
    """Straight colour (H, W, 3) of premultiplied colour and alpha (H, W); black where alpha is 0.

    Raises:
        Refusal: the colour is none that was multiplied by alpha.
    """
    above = _share_above_alpha(colour.max(axis=2), alpha, alpha < 255)
    if above > _STRAY:
        raise Refusal("not premultiplied", f"{above:.0%} of its partial pixels are brighter than their alpha")
    weight = alpha[..., None].astype(np.uint32)
    straight = (colour * np.uint32(255) + weight // 2) // np.maximum(weight, 1)
    return np.where(weight > 0, straight.clip(0, 255), 0).astype(np.uint8)
