"""What is doubtful about a trimap, alone and beside the matte that it is for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_MOSTLY = 0.5
"""Share of the picture above which an unknown region is doubtful: it leaves most of the object to be guessed."""


@dataclass(frozen=True)
class TrimapCheck:
    """A trimap in numbers.

    Attributes:
        unknown: Share of the picture that is unknown, in [0, 1].
        foreground: Share that is surely foreground.
        background: Share that is surely background.
        doubts: A sentence for each thing that is doubtful.
    """

    unknown: float
    foreground: float
    background: float
    doubts: tuple[str, ...]


def check_trimap(trimap: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None) -> TrimapCheck:
    """Look for what makes a matte bad before it is begun.

    Args:
        trimap: (H, W), 0 background, 255 foreground, anything between unknown.
        alpha: (H, W), the matte that the trimap is for, 0 to 255, if it is known.

    Raises:
        ValueError: their sizes differ.
    """
    background, foreground = trimap == 0, trimap == 255
    unknown = ~background & ~foreground
    doubts = [*_values(trimap, unknown), *_shares(background, foreground, unknown)]
    touching = int((foreground & ndimage.binary_dilation(background)).sum())
    if touching:
        doubts.append(f"{touching} pixels of sure foreground touch sure background: no band lies between them")
    if alpha is not None:
        if alpha.shape != trimap.shape:
            raise ValueError(f"alpha: expected {trimap.shape}, got {alpha.shape}")
        doubts += _contradictions(background, foreground, alpha)
    return TrimapCheck(float(unknown.mean()), float(foreground.mean()), float(background.mean()), tuple(doubts))


def _values(trimap: NDArray[np.uint8], unknown: NDArray[np.bool_]) -> list[str]:
    odd = unknown & (abs(trimap.astype(int) - 128) > 1)
    if not odd.any():
        return []
    found = np.unique(trimap[odd]).tolist()
    listed = ", ".join(map(str, found[:6])) + (" …" if len(found) > 6 else "")
    return [f"{odd.mean():.1%} have grey values beside 128 ({listed}): all of them count as unknown"]


def _shares(background: NDArray[np.bool_], foreground: NDArray[np.bool_], unknown: NDArray[np.bool_]) -> list[str]:
    doubts = []
    if not unknown.any():
        doubts.append("nothing is unknown: there is nothing to find out")
    elif unknown.mean() > _MOSTLY:
        doubts.append(f"{unknown.mean():.0%} are unknown: most of the picture is left to be guessed")
    if not foreground.any():
        doubts.append("nothing is surely foreground")
    if not background.any():
        doubts.append("nothing is surely background")
    return doubts


def _contradictions(
    background: NDArray[np.bool_], foreground: NDArray[np.bool_], alpha: NDArray[np.uint8]
) -> list[str]:
    doubts = []
    wrong = (background & (alpha > 127)) | (foreground & (alpha <= 127))
    if wrong.any():
        doubts.append(f"{int(wrong.sum())} sure pixels contradict alpha: it says the opposite there")
    partial = (alpha > 0) & (alpha < 255)
    cut = partial & (background | foreground) & ~wrong
    if cut.any():
        reach = ndimage.distance_transform_edt(background | foreground)[cut].max()
        doubts.append(
            f"the band is thinner than the soft edge: {int(cut.sum())} partly transparent pixels lie outside it, up to "
            f"{int(np.ceil(reach))} pixels away"
        )
    return doubts
