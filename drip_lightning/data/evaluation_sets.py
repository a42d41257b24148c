"""Evaluation sets: one folder of shards, or several by name."""

import re
from collections.abc import Mapping
from typing import Any

from drip_lightning.errors import InputError

EvaluationSets = dict[str, str] | str
"""A folder of evaluation shards, or names to folders."""


def sets_by_name(evaluation: EvaluationSets) -> dict[str, str]:
    """Name to folder; a single folder has the empty name.

    Raises:
        InputError: no set, or a name that could not be part of a score's or a folder's.
    """
    if isinstance(evaluation, str):
        return {"": evaluation}
    bad = next((name for name in evaluation if not re.fullmatch(r"[\w-]+", name)), None)
    if bad is not None or not evaluation:
        got = "an empty mapping" if bad is None else repr(bad)
        raise InputError(f"data.evaluation: expected DIR, or names of letters, digits, _ and - to DIRs, got {got}")
    return evaluation


def folders_in(setting: Any) -> list[str]:
    """The folders of a setting: one, several with weights, several by name, or none."""
    if isinstance(setting, Mapping):
        return [value if isinstance(value, str) else str(key) for key, value in setting.items()]
    return [] if setting is None else [str(setting)]
