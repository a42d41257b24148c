"""OpenEXR files as compositing programs exchange them: linear light, premultiplied with alpha, not bounded."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drip_lightning.data.pictures import require_size
from drip_lightning.errors import InputError, raised_as
from drip_lightning.ops.srgb import linear_to_srgb

REC_709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
"""Chromaticities of red, green, blue and white, x and y each: sRGB's; what a file without any means."""

_HALF_MAX = 65504.0
_NEEDED = "OpenEXR files need the OpenEXR package: pip install 'drip_lightning[exr]'"


@dataclass(frozen=True)
class LinearPicture:
    """What an OpenEXR file holds."""

    colour: NDArray[np.float32] | None
    """(H, W, 3) straight colour in linear light with sRGB's primaries, not bounded; none in a file of a matte alone."""
    alpha: NDArray[np.float32] | None
    """(H, W) in [0, 1]; none where the file has none. A single grey channel is an alpha."""

    @property
    def srgb(self) -> NDArray[np.float32] | None:
        """The colour in sRGB, what lies beyond 0 and 1 cut off."""
        return None if self.colour is None else linear_to_srgb(self.colour.clip(0, 1)).astype(np.float32)


def is_exr(content: bytes) -> bool:
    """Whether a file is OpenEXR, by its first bytes."""
    return content.startswith(b"\x76\x2f\x31\x01")


def exr_size(content: bytes, *, name: str) -> tuple[int, int]:
    """Width and height of the display window, before any pixel is read.

    Arguments and errors are those of `read_exr`.
    """
    return _size(_header(content, name)["displayWindow"])


def read_exr(content: bytes, *, name: str) -> LinearPicture:
    """Read the first part's R, G, B and A, or its only channel, within the display window.

    NaN becomes 0, and infinity the largest half float: renderers leave single pixels of both.

    Args:
        content: The file.
        name: What to call it in an error.

    Raises:
        TooBigError: it, or what lies in the file within the display window or not, has more than `MAX_PIXELS`.
        InputError: it cannot be decoded, has other channels or primaries, or the package is missing.
    """
    header = _header(content, name)
    (left, top), _ = header["displayWindow"]
    width, height = _size(header["displayWindow"])
    with _told(name):
        channels = _library().File(io.BytesIO(content), separate_channels=True).channels()
    if np.abs(np.subtract(header.get("chromaticities", REC_709), REC_709)).max() > 0.001:
        raise InputError(f"{name} has other primaries than sRGB (Rec. 709): convert it")
    start = np.array([top, left]) - np.array(header["dataWindow"][0])[::-1]
    planes = {
        key: _window(channel.pixels, start, (height, width)) for key, channel in channels.items() if "." not in key
    }
    if not {"R", "G", "B"} <= planes.keys():
        matte = planes.get("A", planes.get("Y", next(iter(planes.values())) if len(planes) == 1 else None))
        if matte is None:
            raise InputError(f"{name} has the channels {', '.join(channels)}: expected R, G, B and A, or one alone")
        return LinearPicture(None, matte.clip(0, 1))
    colour = np.dstack([planes[key] for key in "RGB"])
    if "A" not in planes:
        return LinearPicture(colour, None)
    alpha = planes["A"].clip(0, 1)
    return LinearPicture(np.divide(colour, alpha[..., None], where=alpha[..., None] > 0, out=colour), alpha)


def _header(content: bytes, name: str) -> dict[str, Any]:
    """Its header; none of a picture that is too big, by the window that is shown or the one that is stored."""
    with _told(name):
        header: dict[str, Any] = _library().File(io.BytesIO(content), header_only=True).header()
    for window in ("displayWindow", "dataWindow"):
        require_size(*_size(header[window]), name=name)
    return header


def _size(window: Any) -> tuple[int, int]:
    """Width and height of a window, whose corners both lie in it."""
    (left, top), (right, bottom) = window
    return int(right) - int(left) + 1, int(bottom) - int(top) + 1


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Say what the library complains of in a line, and nothing else."""

    def message(why: str) -> str:
        return f"{name} cannot be decoded: damaged, or no OpenEXR file ({why})"

    with raised_as(InputError, RuntimeError, ValueError, message=message), _quiet():
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library from writing what it raises, too: in Python to standard output, in C to standard error."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _window(pixels: NDArray, start: NDArray, size: tuple[int, int]) -> NDArray[np.float32]:
    """A plane's part of the display window, which begins `start` behind the plane's own corner; 0 beyond the plane."""
    plane = np.zeros(size, np.float32)
    low, high = np.maximum(start, 0), np.minimum(start + size, pixels.shape)
    part = pixels[low[0] : high[0], low[1] : high[1]].astype(np.float32)
    plane[low[0] - start[0] :, low[1] - start[1] :][: part.shape[0], : part.shape[1]] = part
    return np.nan_to_num(plane, nan=0.0, posinf=_HALF_MAX, neginf=-_HALF_MAX)


def write_exr(*, colour: NDArray[np.floating] | None, alpha: NDArray[np.floating] | None) -> bytes:
    """Encode a picture in half floats, losslessly packed; colour is premultiplied here.

    Args:
        colour: (H, W, 3) straight colour in linear light, not bounded.
        alpha: (H, W) in [0, 1].

    Raises:
        InputError: the package is missing.
    """
    exr = _library()
    planes = {} if alpha is None else {"A": alpha}
    if colour is not None:
        premultiplied = colour if alpha is None else colour * alpha[..., None]
        planes |= {key: premultiplied[..., place] for place, key in enumerate("RGB")}
    halves = {
        key: np.ascontiguousarray(plane.clip(-_HALF_MAX, _HALF_MAX).astype(np.float16)) for key, plane in planes.items()
    }
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage, "chromaticities": REC_709}
    stream = io.BytesIO()
    exr.File(header, halves).write(stream)
    return stream.getvalue()


def _library() -> Any:
    with raised_as(InputError, ImportError, message=lambda why: f"{_NEEDED} ({why})"):
        import OpenEXR
    return OpenEXR
