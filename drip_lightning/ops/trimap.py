"""Trimaps: exactly 0 (known background), 0.5 (unknown) or 1 (known foreground)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def unknown_mask(trimap: Tensor) -> Tensor:
    """Where a trimap of any shape is unknown: true there, false elsewhere."""
    return trimap == 0.5


def trimap_from_alpha(alpha: Tensor, dilation: Tensor | Sequence[int], erosion: Tensor | Sequence[int]) -> Tensor:
    """Make trimaps from true mattes: what is certain shrinks, the rest is unknown (DRIP App. A.2).

    Known foreground is where alpha is 1 in the whole square of side `2 * erosion + 1` around the pixel; known
    background, where alpha is 0 in the whole square of side `2 * dilation + 1`. Beyond the picture's edge anything
    goes. The cost does not depend on the radii.

    Args:
        alpha: (B, 1, H, W) in [0, 1].
        dilation: B radii in pixels, not negative: how far the object grows into the background.
        erosion: B radii in pixels, not negative: how far the opaque part shrinks.

    Returns:
        (B, 1, H, W), exactly 0, 0.5 or 1, in alpha's dtype.

    Raises:
        ValueError: alpha has another shape, or there is not one radius for each sample.
    """
    if alpha.ndim != 4 or alpha.shape[1] != 1:
        raise ValueError(f"alpha: expected (B, 1, H, W), got {tuple(alpha.shape)}")
    return _trimap(
        maybe_foreground=_dilate(alpha > 0, _radii("dilation", dilation, alpha)),
        maybe_background=_dilate(alpha < 1, _radii("erosion", erosion, alpha)),
        dtype=alpha.dtype,
    )


def trimap_from_mask(mask: Tensor, band: int) -> Tensor:
    """Make a trimap from a rough binary mask: unknown within `band` pixels of its outline.

    Args:
        mask: (B, 1, H, W), object where above 0.5.
        band: Half the width of the unknown band, in pixels; 0 leaves nothing unknown.

    Returns:
        (B, 1, H, W), exactly 0, 0.5 or 1, in float32 or the mask's own floating dtype.
    """
    dtype = mask.dtype if mask.is_floating_point() else torch.float32
    return trimap_from_alpha((mask > 0.5).to(dtype), [band] * len(mask), [band] * len(mask))


def quantise_trimap(gray: Tensor) -> Tensor:
    """Read a trimap from the grey levels of a file: 0 is background, 255 is foreground, anything between unknown.

    Args:
        gray: Any shape, in [0, 1]: the file's 8-bit levels / 255 (files say unknown as 127, 128 or other values).

    Returns:
        The same shape and dtype, exactly 0, 0.5 or 1.
    """
    level = (gray * 255).round()
    return _trimap(maybe_foreground=level > 0, maybe_background=level < 255, dtype=gray.dtype)


def _trimap(*, maybe_foreground: Tensor, maybe_background: Tensor, dtype: torch.dtype) -> Tensor:
    return (maybe_foreground.to(dtype) + 1 - maybe_background.to(dtype)) / 2


def _radii(name: str, radii: Tensor | Sequence[int], alpha: Tensor) -> Tensor:
    reach = torch.as_tensor(radii, dtype=torch.int64).to(alpha.device, non_blocking=True)
    if reach.shape != alpha.shape[:1]:
        raise ValueError(f"{name}: expected {len(alpha)} radii, one for each sample, got shape {tuple(reach.shape)}")
    return reach


def _dilate(mask: Tensor, radius: Tensor) -> Tensor:
    """Where any pixel of the square around a pixel is set: one axis after the other."""
    return _dilate_axis(_dilate_axis(mask, radius, -1), radius, -2)


def _dilate_axis(mask: Tensor, radius: Tensor, axis: int) -> Tensor:
    # Counting set pixels by running sums serves every sample's own radius at once, on the device, without waiting.
    size = mask.shape[axis]
    counts = F.pad(mask.to(torch.int32).cumsum(axis), (1, 0) if axis == -1 else (0, 0, 1, 0))
    line = (1, 1, 1, size) if axis == -1 else (1, 1, size, 1)
    position = torch.arange(size, device=mask.device).view(line)
    reach = radius.view(-1, 1, 1, 1)
    first = (position - reach).clamp_min(0).expand_as(mask)
    after = (position + reach + 1).clamp_max(size).expand_as(mask)
    return counts.gather(axis, after) > counts.gather(axis, first)
