"""A JPEG without what it says about people and places: its picture alone, to the bit."""

from collections.abc import Iterator

_PICTURE_ENDS, _SCAN = 0xD9, 0xDA
_KEPT = {0xE0, 0xEE}
"""JFIF's density, and Adobe's word on how colours are coded, which decoders need."""


def without_metadata(jpeg: bytes) -> bytes:
    """Drop EXIF (place, time), XMP, IPTC, colour profile, comments, and what follows the picture, such as a film.

    Pixels stay what they are: nothing is decoded.

    Args:
        jpeg: A file that decodes.
    """
    return jpeg[:2] + b"".join(part for kind, part in _segments(jpeg) if kind in _KEPT or not _is_metadata(kind))


def _is_metadata(kind: int) -> bool:
    return 0xE0 <= kind <= 0xEF or kind == 0xFE


def _segments(jpeg: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and bytes of each segment behind the first two bytes, until the picture ends; a scan brings its data."""
    start = 2
    while start < len(jpeg):
        while jpeg[start + 1] == 0xFF:  # padding
            start += 1
        kind = jpeg[start + 1]
        if kind == _PICTURE_ENDS:
            yield kind, jpeg[start : start + 2]
            return
        end = start + 2 + int.from_bytes(jpeg[start + 2 : start + 4])
        end = _scan_end(jpeg, end) if kind == _SCAN else end
        yield kind, jpeg[start:end]
        start = end


def _scan_end(jpeg: bytes, start: int) -> int:
    """Where the next marker begins: within coded data, 0xFF is followed by 0, or by the number of a restart."""
    while True:
        start = jpeg.find(b"\xff", start)
        if start < 0:
            return len(jpeg)
        if jpeg[start + 1 : start + 2] and jpeg[start + 1] != 0 and not 0xD0 <= jpeg[start + 1] <= 0xD7:
            return start
        start += 2
