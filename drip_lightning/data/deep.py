"""PNG and TIFF files of more than eight bits a channel, whose lower bits Pillow cuts off, or which it does not read."""

import io
import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drip_lightning.errors import InputError

_PNG, _TIFF = b"\x89PNG\r\n\x1a\n", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
"""TIFF's photometric interpretations."""
_PREMULTIPLIED, _STRAIGHT = 1, 2
"""TIFF's kinds of extra samples that are an alpha."""

_SILENT = logging.NullHandler()


def deep_size(content: bytes, *, page: int = 0) -> tuple[int, int] | None:
    """Width and height of a PNG or TIFF file, or of one of its pages, of more than eight bits; else None.

    Raises:
        Exception: a library's own, where the file is broken.
    """
    if content.startswith(_PNG):
        if content[24:25] != b"\x10":
            return None
        if page:
            raise ValueError("only the first frame of an animated PNG of 16 bits is read: save it with 8 bits")
        return struct.unpack(">II", content[16:24])
    if not is_tiff(content):
        return None
    with _tiff(content) as file:
        found = file.pages[page]
        return (found.imagewidth, found.imagelength) if found.bitspersample > 8 else None


def deep_values(content: bytes, *, name: str, page: int = 0) -> NDArray[np.uint16]:
    """Decode what `deep_size` knows, as it lies in the file.

    Numbers with a fraction are taken for values from 0 to 1, whole ones beyond 1 for 8 or 16 bits.

    Args:
        content: The file.
        name: What to call it in an error.
        page: Which page of a TIFF file.

    Returns:
        (H, W, C), 0 to 65535: grey, grey and alpha, RGB, or RGBA; straight.

    Raises:
        InputError: the numbers say no values, or mean other colours than grey or RGB.
        Exception: a library's own, where the file is broken.
    """
    if content.startswith(_PNG):
        import imagecodecs

        values = imagecodecs.png_decode(content)
        return values.reshape(*values.shape[:2], -1)
    with _tiff(content) as file:
        found = file.pages[page]
        values = np.asarray(found.asarray())
    kinds, bits = [int(kind) for kind in found.extrasamples], found.bitspersample
    if found.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB) or values.dtype.kind not in "uif":
        raise InputError(f"{name} is a TIFF of {bits} bits in other colours than grey or RGB: save it as one of these")
    values = values.reshape(*values.shape[:2], -1) if found.axes[0] == "Y" else np.moveaxis(values, 0, -1)
    values = _in_sixteen_bits(values, bits, name)
    if found.photometric == _WHITE_IS_ZERO:
        values[..., 0] = 65535 - values[..., 0]
    colours = 3 if found.photometric == _RGB else 1
    alpha = next((place for place, kind in enumerate(kinds) if kind in (_PREMULTIPLIED, _STRAIGHT)), None)
    if alpha is None:
        return values[..., :colours]
    values = values[..., [*range(colours), colours + alpha]]
    return _straight(values) if kinds[alpha] == _PREMULTIPLIED else values


def tiff_pages(content: bytes) -> tuple[int, ...]:
    """The pages of a TIFF file that are pictures of their own, neither smaller copies nor masks of others.

    Raises:
        Exception: a library's own, where the file is broken.
    """
    with _tiff(content) as file:
        whole = [number for number, page in enumerate(file.pages) if not (page.is_reduced or page.is_mask)]
    return tuple(whole) or (0,)  # some programs call the only page a smaller copy


def is_tiff(content: bytes) -> bool:
    """Whether a file begins as TIFF files do."""
    return content.startswith(_TIFF)


def tiff_tag(content: bytes, tag: int, *, page: int = 0) -> Any:
    """The value of a tag of a TIFF file's page; None without."""
    with _tiff(content) as file:
        found = file.pages[page].tags.get(tag)
        return None if found is None else found.value


@contextmanager
def _tiff(content: bytes) -> Iterator[Any]:
    import tifffile

    logging.getLogger("tifffile").addHandler(_SILENT)  # it would say on standard error what it raises, too
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            yield file
    except (tifffile.TiffFileError, LookupError) as error:  # no kin of what Pillow raises
        raise ValueError(str(error)) from error


def _in_sixteen_bits(values: NDArray[Any], bits: int, name: str) -> NDArray[np.uint16]:
    kind, least, most = values.dtype.kind, float(values.min()), float(values.max())
    if kind == "u" and bits <= 16:
        top = 2**bits - 1
    elif kind == "f" and (most <= 1 or (values != values.round()).any()):
        top = 1
    else:  # whole numbers in more room than they need
        top = next((top for top in (255, 65535) if most <= top), 2**bits - 1 if kind == "u" else 65535)
    if not 0 <= least <= most <= top:  # also where one is no number
        raise InputError(f"{name} has numbers from {least:g} to {most:g}: expected 0 to 1, or 8 or 16 bits")
    return (values.astype(np.float64) * (65535 / top)).round().astype(np.uint16)


def _straight(values: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Undo premultiplication by the last channel."""
    alpha = values[..., -1:].astype(np.float64)
    colour = np.divide(values[..., :-1] * 65535.0, alpha, out=np.zeros(values[..., :-1].shape), where=alpha > 0)
    return np.dstack([colour.round().clip(0, 65535).astype(np.uint16), values[..., -1:]])


def eight_bits(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Sixteen bits rounded to eight."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
