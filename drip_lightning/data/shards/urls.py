"""Opening what lies on the local disk or behind any URL that fsspec knows (http, s3, gs, …); nothing is executed."""

from typing import Any

import fsspec

from drip_lightning.errors import InputError


def is_remote(place: str) -> bool:
    """Whether a folder or file lies behind a URL."""
    return "://" in place


def open_place(place: str) -> Any:
    """Open a file for reading bytes, to be used in a `with` block.

    Raises:
        InputError: nothing that is installed opens such URLs.
        OSError: there is no such file, or it cannot be had.
    """
    if not is_remote(place):
        return open(place, "rb")
    try:
        return fsspec.open(place, "rb")
    except (ImportError, ValueError) as error:
        raise InputError(f"{place} cannot be opened: {error}") from error
