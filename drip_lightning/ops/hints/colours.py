"""Foreground and background colours of unknown pixels, guessed from the sure pixels around them."""

import math

import numba
import numpy as np
import torch
from torch import Tensor

from drip_lightning.ops.padding import pad_foreground_push_pull

RAYS = 16
"""Rays to either side (8 are measurably worse, more are not better)."""
DISTANCE_WEIGHT = 0.05
"""Cost of a sample at its nearest like's distance, in units of colour error (the RGB cube's side is 1)."""
_SHIFTS = 3
_EXACT_SIDE = 4096
"""Up to this side, a ray's rounding to single precision never brings a pixel a step nearer than it is."""
_FIRST_REACH = 3
"""How far rays go at first, in units of the distance to the nearest pixel of their side: mostly far enough."""
_OUTSIDE = -1
"""In place of a distance, where the picture ends."""


def propagated_colours(image: Tensor, trimap: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Spread the sure pixels' colours into the unknown region by push-pull, and project between them.

    Args:
        image: (B, 3, H, W) in [0, 1], taken at 8 bits.
        trimap: (B, 1, H, W), 0, 0.5 or 1.

    Returns:
        Foreground (B, 3, H, W), background (B, 3, H, W) and alpha (B, 1, H, W), in [0, 1]; where the trimap is sure,
        the image's colour on that side and the trimap's alpha. A side without a sure pixel anywhere is black.
    """
    pixels = (image * 255).round().to(torch.uint8)
    foreground, background = (
        pad_foreground_push_pull(pixels, (trimap == side).to(torch.uint8) * 255) / 255 for side in (1, 0)
    )
    return foreground, background, torch.where(trimap == 0.5, projected_alpha(image, foreground, background), trimap)


def projected_alpha(image: Tensor, foreground: Tensor, background: Tensor) -> Tensor:
    """Alpha of the point nearest to the image on the line from background to foreground colour.

    Args:
        image: (B, 3, H, W).
        foreground: (B, 3, H, W).
        background: (B, 3, H, W).

    Returns:
        (B, 1, H, W) in [0, 1]; 0 where the two colours are the same.
    """
    line = foreground - background
    along = ((image - background) * line).sum(dim=1, keepdim=True)
    return (along / (line * line).sum(dim=1, keepdim=True).clamp_min(1e-6)).clamp(0, 1)


def sampled_colours(image: Tensor, trimap: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Choose for each unknown pixel the best pair of sure colours that rays from it meet first.

    Of the foreground and background pixels met by `RAYS` rays, the pair that minimises the distance between the pixel
    and the line of the two colours plus `DISTANCE_WEIGHT` times both samples' distances, each relative to the nearest
    of its side (after Gastal and Oliveira 2010, "Shared sampling for real-time alpha matting"). Neighbours' rays are
    turned against each other in a pattern of 3 × 3 pixels. Where no ray meets a side, `propagated_colours` stand in.

    Arguments and results are those of `propagated_colours`. Computed on the CPU.
    """
    picture, sides = image.detach().float().cpu(), (trimap.cpu() * 2).to(torch.uint8)
    foreground, background, _ = propagated_colours(picture, trimap.cpu())
    found = torch.stack([background, foreground], dim=1)
    pixels = picture.permute(0, 2, 3, 1).contiguous().numpy()
    for one, side, colours in zip(pixels, sides[:, 0].numpy(), found.numpy(), strict=True):
        _sample(one.reshape(-1, 3), side, _distances(side, 0), _distances(side, 2), _DIRECTIONS, colours)
    background, foreground = found.to(image).unbind(dim=1)
    return foreground, background, torch.where(trimap == 0.5, projected_alpha(image, foreground, background), trimap)


def _ray_directions() -> np.ndarray:
    """Unit steps (row, column) of each ray in each of the shifted patterns: (9, 2, RAYS) float32."""
    turns = (np.arange(RAYS) + np.arange(_SHIFTS**2)[:, None] / _SHIFTS**2) * (2 * math.pi / RAYS)
    return np.stack([np.sin(turns), np.cos(turns)], axis=1).astype(np.float32)


_DIRECTIONS = _ray_directions()


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _distances(sides: np.ndarray, side: int) -> np.ndarray:
    """Chessboard distance to the nearest pixel of a side, at most 32767: so far a ray can go without looking.

    ((H + 2)·(W + 2),), with a margin of one pixel that is `_OUTSIDE`.
    """
    height, width = sides.shape
    padded = np.full((height + 2, width + 2), 32767, np.int32)
    for i in range(1, height + 1):
        for j in range(1, width + 1):
            above = min(padded[i - 1, j - 1], padded[i - 1, j], padded[i - 1, j + 1], padded[i, j - 1])
            padded[i, j] = 0 if sides[i - 1, j - 1] == side else min(above + 1, 32767)
    for i in range(height, 0, -1):
        for j in range(width, 0, -1):
            below = min(padded[i + 1, j + 1], padded[i + 1, j], padded[i + 1, j - 1], padded[i, j + 1])
            padded[i, j] = min(padded[i, j], below + 1)
    padded[0], padded[-1], padded[:, 0], padded[:, -1] = _OUTSIDE, _OUTSIDE, _OUTSIDE, _OUTSIDE
    return padded.astype(np.int16).ravel()


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _march(
    distances: np.ndarray,
    size: tuple[int, int],
    pattern: np.ndarray,
    i: int,
    j: int,
    reach: int,
    rays: np.ndarray,
) -> None:
    """Have rays from (i, j) go on, until each has met a pixel of one side, left the picture or come beyond `reach`.

    All rays go on together, each as far as it can without looking. No branch depends on one of them, so that loops over
    rays become vector operations. Places are unsigned where they are looked up, since Numba would look at each signed
    one whether it counts from the end.

    Args:
        distances: To the side's nearest pixel, with its margin.
        size: H and W.
        pattern: (2, RAYS) directions.
        i: Row.
        j: Column.
        reach: Pixels.
        rays: (3, RAYS) int32: how far each one is, the place where it looked last, and what it saw: 0 if it has met a
            pixel, `_OUTSIDE` if it left the picture.
    """
    distance, place, leap = rays[0], rays[1], rays[2]
    height, width, across = np.float32(size[0]), np.float32(size[1]), np.int32(size[1] + 2)
    zero, one = np.int32(0), np.int32(1)
    slack = _slack(size)
    middle_row, middle_column = np.float32(i) + np.float32(0.5), np.float32(j) + np.float32(0.5)
    moving = one
    while moving:
        for ray in range(RAYS):
            down = middle_row + pattern[0, ray] * np.float32(distance[ray])
            right = middle_column + pattern[1, ray] * np.float32(distance[ray])
            row, column = np.int32(min(down, height)) + one, np.int32(min(right, width)) + one
            row, column = row if down >= 0 else zero, column if right >= 0 else zero
            place[ray] = row * across + column
        for ray in range(RAYS):
            leap[ray] = distances[np.uint64(place[ray])]
        moving = zero
        for ray in range(RAYS):
            ahead = max(leap[ray] - slack, one) if leap[ray] > 0 else zero
            distance[ray] += ahead
            moving |= ahead if distance[ray] <= reach else zero


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _slack(size: tuple[int, int]) -> np.int32:
    """By how much less rays leap in large pictures: off the axes they come 0.001 short of a pixel a step elsewhere."""
    return np.int32(1) if max(size) > _EXACT_SIDE else np.int32(0)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _collect(image: np.ndarray, width: int, rays: np.ndarray, met: np.ndarray) -> tuple[int, np.float32, np.float32]:
    """What the rays have met so far.

    Args:
        image: (H·W, 3).
        width: W.
        rays: As `_march` leaves them.
        met: (4, RAYS), where to put red, green, blue and the distance's cost.

    Returns:
        How many pixels were met, the nearest one's distance, and what one that is still to come would cost at least: 0
        if it may be the nearest, infinitely much if there is none.
    """
    across, weight = np.int32(width + 2), np.float32(DISTANCE_WEIGHT)
    count, nearest, ahead = 0, np.float32(np.inf), np.float32(np.inf)
    for ray in range(RAYS):
        distance, place, leap = np.float32(rays[0, ray]), rays[1, ray], rays[2, ray]
        if leap > 0:
            ahead = min(ahead, distance)
        elif leap == 0:
            pixel = np.uint64((place // across - 1) * width + place % across - 1)
            for channel in range(3):
                met[channel, count] = image[pixel, np.uint64(channel)]
            met[3, count] = distance
            nearest = min(nearest, distance)
            count += 1
    for one in range(count):
        met[3, one] = weight * met[3, one] / nearest
    if ahead < np.inf:
        ahead = weight * ahead / nearest if nearest < ahead else np.float32(0)
    return count, nearest, ahead


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _best_pair(
    red: float, green: float, blue: float, met: np.ndarray, counts: np.ndarray
) -> tuple[int, int, np.float32]:
    """Which background and which foreground pixel of `met` explain a colour best, and at which cost."""
    zero, one, tiny = np.float32(0), np.float32(1), np.float32(1e-6)
    cost = np.empty(met.shape[2], np.float32)
    least, best = np.float32(np.inf), (0, 0)
    back, front = met[0], met[1]
    nearest = back[3, : counts[0]].min()
    for f in range(counts[1]):
        if front[3, f] + nearest >= least:
            continue
        for b in range(counts[0]):  # no branch and no sum over b: one vector operation each
            line_red, off_red = front[0, f] - back[0, b], red - back[0, b]
            line_green, off_green = front[1, f] - back[1, b], green - back[1, b]
            line_blue, off_blue = front[2, f] - back[2, b], blue - back[2, b]
            length = line_red * line_red + line_green * line_green + line_blue * line_blue
            along = off_red * line_red + off_green * line_green + off_blue * line_blue
            share = min(max(along / max(length, tiny), zero), one)
            off_red -= share * line_red
            off_green -= share * line_green
            off_blue -= share * line_blue
            error = math.sqrt(off_red * off_red + off_green * off_green + off_blue * off_blue)
            cost[b] = error + (front[3, f] + back[3, b])
        for b in range(counts[0]):
            if cost[b] < least:
                least, best = cost[b], (b, f)
    return best[0], best[1], least


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _sample(
    image: np.ndarray,
    sides: np.ndarray,
    to_background: np.ndarray,
    to_foreground: np.ndarray,
    directions: np.ndarray,
    found: np.ndarray,
) -> None:
    """Replace `found`, (2, 3, H, W) background and foreground colours, where `sides` is 1 and rays meet a side.

    Rays go on only as long as a pixel that is still to come could make a cheaper pair than the best of those met.
    """
    rays, met, counts = np.empty((2, 3, RAYS), np.int32), np.empty((2, 4, RAYS), np.float32), np.empty(2, np.int64)
    reach, nearest, ahead = np.empty(2, np.int32), np.empty(2, np.float32), np.empty(2, np.float32)
    goes_on, weight = np.empty(2, np.bool_), np.float32(DISTANCE_WEIGHT)
    distances, size = (to_background, to_foreground), sides.shape
    height, width = size
    for i in range(height):
        for j in range(width):
            if sides[i, j] != 1:
                continue
            pattern = directions[(i % _SHIFTS) * _SHIFTS + j % _SHIFTS]
            own = image[i * width + j]
            for side in range(2):
                start = np.int32(distances[side][np.uint64((i + 1) * (width + 2) + j + 1)]) - _slack(size)
                rays[side, 0] = max(start, np.int32(1))
                reach[side], goes_on[side] = _FIRST_REACH * rays[side, 0, 0], True
            back = front = 0
            while goes_on[0] or goes_on[1]:
                for side in range(2):
                    if goes_on[side]:
                        _march(distances[side], size, pattern, i, j, reach[side], rays[side])
                        counts[side], nearest[side], ahead[side] = _collect(image, width, rays[side], met[side])
                    if counts[side] == 0 and ahead[side] == np.inf:
                        met[side, :3, 0], met[side, 3, 0] = found[side, :, i, j], weight
                        counts[side] = 1
                    goes_on[side] = ahead[side] == 0
                    if goes_on[side]:
                        reach[side] *= _FIRST_REACH
                if goes_on[0] or goes_on[1]:
                    continue
                back, front, least = _best_pair(own[0], own[1], own[2], met, counts)
                for side in range(2):
                    other = met[1 - side, 3, : counts[1 - side]].min()
                    if ahead[side] + other <= least:
                        reach[side], goes_on[side] = np.int32((least - other) / weight * nearest[side]) + 1, True
            for channel in range(3):
                found[0, channel, i, j], found[1, channel, i, j] = met[0, channel, back], met[1, channel, front]
