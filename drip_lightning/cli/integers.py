"""Integers of a configuration stay integers."""

from typing import Any

from jsonargparse import _typehints

_RANK = _typehints.union_subtype_sort_key


def keep_integers() -> None:
    """Let jsonargparse try `int` first wherever a setting may be that or something else.

    It tries types in the order of the hint, but Python may give `Optional[Union[int, float]]` in the order in which
    another library wrote it before: a batch to validate on (1) would become all of them (1.0).
    """
    _typehints.union_subtype_sort_key = _rank


def _rank(subtype: Any) -> int:
    """In place of the function of this name: `int`, which takes neither `true` nor `1.0`, comes before its like."""
    return 2 * _RANK(subtype) - (subtype is int)
