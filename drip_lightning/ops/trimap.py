"""Trimaps: exactly 0 (known background), 0.5 (unknown) or 1 (known foreground)."""

from collections.abc import Callable, Sequence
from typing import Literal

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

StructuringElement = Literal["square", "disc"]
"""What a radius means: the square of side 2 r + 1, or all pixels at a Euclidean distance of at most r."""


def unknown_mask(trimap: Tensor) -> Tensor:
    """Where a trimap of any shape is unknown: true there, false elsewhere."""
    return trimap == 0.5


def trimap_from_alpha(
    alpha: Tensor,
    dilation: Tensor | Sequence[int],
    erosion: Tensor | Sequence[int],
    *,
    structuring_element: StructuringElement = "square",
) -> Tensor:
    """Make trimaps from true mattes: what is certain shrinks, the rest is unknown (DRIP App. A.2).

    Known foreground is where alpha is 1 all around the pixel, within the radius `erosion`; known background, where
    alpha is 0 within the radius `dilation`. Beyond the picture's edge anything goes.

    Args:
        alpha: (B, 1, H, W) in [0, 1], or uint8.
        dilation: B radii in pixels, not negative: how far the object grows into the background.
        erosion: B radii in pixels, not negative: how far the opaque part shrinks.
        structuring_element: Squares (dilation and erosion), or discs (a threshold on the distance).

    Returns:
        (B, 1, H, W), exactly 0, 0.5 or 1, in alpha's dtype; of uint8 exactly 0, 128 or 255.

    Raises:
        ValueError: alpha has another shape, or there is not one radius for each sample.
    """
    if alpha.ndim != 4 or alpha.shape[1] != 1:
        raise ValueError(f"alpha: expected (B, 1, H, W), got {tuple(alpha.shape)}")
    dilate = _near_other if alpha.device.type == "cpu" else _near_other_tensors
    return _shrink_certain(dilate, alpha, dilation, erosion, structuring_element)


def trimap_uint8(alpha: np.ndarray, *, dilation: int, erosion: int) -> np.ndarray:
    """`trimap_from_alpha` of one picture in 8-bit values (H, W): a trimap (H, W) of exactly 0, 128 and 255."""
    return trimap_from_alpha(torch.tensor(alpha)[None, None], [dilation], [erosion])[0, 0].numpy()


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
    """Read a trimap from the grey values of a file: 0 is background, 255 is foreground, anything between unknown.

    Args:
        gray: Any shape, in [0, 1]: the file's 8-bit values / 255 (files say unknown as 127, 128 or other values).

    Returns:
        The same shape and dtype, exactly 0, 0.5 or 1.
    """
    value = (gray * 255).round()
    return _trimap(maybe_foreground=value > 0, maybe_background=value < 255, dtype=gray.dtype)


def _trimap(*, maybe_foreground: Tensor, maybe_background: Tensor, dtype: torch.dtype) -> Tensor:
    if not dtype.is_floating_point:
        return maybe_foreground.to(dtype) * 128 + (1 - maybe_background.to(dtype)) * 127
    return (maybe_foreground.to(dtype) + 1 - maybe_background.to(dtype)) / 2


def _radii(name: str, radii: Tensor | Sequence[int], alpha: Tensor) -> list[int]:
    reach = radii.tolist() if isinstance(radii, Tensor) else list(radii)
    if len(reach) != len(alpha):
        raise ValueError(f"{name}: expected {len(alpha)} radii, one for each sample, got {len(reach)}")
    return reach


def _shrink_certain(
    near_other: Callable[[Tensor, int, Sequence[int], StructuringElement], Tensor],
    alpha: Tensor,
    dilation: Tensor | Sequence[int],
    erosion: Tensor | Sequence[int],
    element: StructuringElement,
) -> Tensor:
    opaque = 1 if alpha.is_floating_point() else 255
    return _trimap(
        maybe_foreground=near_other(alpha, 0, _radii("dilation", dilation, alpha), element),
        maybe_background=near_other(alpha, opaque, _radii("erosion", erosion, alpha), element),
        dtype=alpha.dtype,
    )


def _near_other(alpha: Tensor, certain: int, radii: Sequence[int], element: StructuringElement) -> Tensor:
    """Where alpha differs from the value `certain` anywhere within a sample's radius."""
    grow = _grow_square if element == "square" else _grow_disc
    source = alpha if alpha.dtype == torch.uint8 else alpha.float()
    grown = torch.empty(alpha.shape, dtype=torch.bool)
    for picture, target, radius in zip(source.detach().numpy(), grown.numpy(), radii, strict=True):
        grow(np.ascontiguousarray(picture[0]), certain, radius, target[0].view(np.uint8))
    return grown


def _near_other_tensors(alpha: Tensor, certain: int, radii: Sequence[int], element: StructuringElement) -> Tensor:
    samples = zip(alpha != certain, radii, strict=True)
    return torch.cat([_dilate_tensors(mask[None], radius, element) for mask, radius in samples])


def _dilate_tensors(mask: Tensor, radius: int, element: StructuringElement) -> Tensor:
    """Where anything within the radius is set, as the kernels find it, for other devices."""
    grown = mask.half()
    if element == "square":
        for sides in ((1, 2 * radius + 1), (2 * radius + 1, 1)):
            grown = F.max_pool2d(grown, sides, stride=1, padding=(sides[0] // 2, sides[1] // 2))
        return grown > 0
    height = mask.shape[-2]
    padded = F.pad(grown, (0, 0, radius, radius))
    result = torch.zeros_like(mask)
    for offset in range(-radius, radius + 1):
        reach = int((radius * radius - offset * offset) ** 0.5)
        row = F.max_pool2d(padded, (1, 2 * reach + 1), stride=1, padding=(0, reach))
        result |= row[..., radius + offset : radius + offset + height, :] > 0
    return result


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _grow_square(alpha: np.ndarray, certain: int, radius: int, grown: np.ndarray) -> None:
    """Windows of 2 r + 1 pixels: along the rows, then down the columns."""
    height, width = alpha.shape
    stride = width + 2 * radius
    pixels = np.zeros((height + 2 * radius) * stride, np.uint8)
    room = np.zeros_like(pixels)
    for i in range(height):
        line = pixels[(radius + i) * stride + radius :]
        for j in range(width):
            line[j] = alpha[i, j] != certain
    # a window that begins in a row's last 2 r pixels runs into the next row: those are not looked at
    pixels, room = _any_in_window(pixels, room, 2 * radius + 1, 1)
    pixels, room = _any_in_window(pixels, room, 2 * radius + 1, stride)
    for i in range(height):
        grown[i] = pixels[i * stride : i * stride + width]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _any_in_window(pixels: np.ndarray, room: np.ndarray, window: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether any of `window` pixels, `stride` apart, from each on is set: windows double until they cover it."""
    size = 1
    while size < window:
        step = min(size, window - size) * stride
        later = pixels[step:]  # its own array: vector instructions need an index known not to be negative
        for i in range(len(later)):
            room[i] = pixels[i] | later[i]
        room[len(later) :] = 0
        pixels, room = room, pixels
        size += min(size, window - size)
    return pixels, room


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _grow_disc(alpha: np.ndarray, certain: int, radius: int, grown: np.ndarray) -> None:
    """Distance along the row to the nearest set pixel; then, for each row of the disc, whether its chord reaches it."""
    height, width = alpha.shape
    distance = np.empty((height, width), np.int32)
    for i in range(height):
        since = width + radius
        for j in range(width):
            since = 0 if alpha[i, j] != certain else since + 1
            distance[i, j] = since
        since = width + radius
        for j in range(width - 1, -1, -1):
            since = 0 if alpha[i, j] != certain else since + 1
            distance[i, j] = min(distance[i, j], since)
    grown[:] = 0
    for offset in range(-radius, radius + 1):
        reach = np.int32(np.sqrt(radius * radius - offset * offset))
        for i in range(max(0, -offset), min(height, height - offset)):
            row, near = grown[i], distance[i + offset]
            for j in range(width):
                row[j] |= np.uint8(near[j] <= reach)
