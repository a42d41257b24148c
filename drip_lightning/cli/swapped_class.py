"""A swapped class begins with its own defaults."""

from typing import Any

from jsonargparse import Namespace, _typehints

_KEEP_WHAT_FITS = _typehints.discard_init_args_on_class_path_change


def forget_the_other_class() -> None:
    """Let jsonargparse drop all settings of a class that another takes the place of, wherever it merges values.

    It keeps those that the new class has by name, the old one's defaults included (its issue 460): Adam's weight
    decay of 0 would become AdamW's.
    """
    _typehints.discard_init_args_on_class_path_change = _discard


def _discard(parser_or_action: Any, prev_val: Any, value: Any) -> None:
    """In place of the function of this name: settings of the same class stay, a swapped one's all go."""
    if isinstance(prev_val, dict | Namespace) and prev_val.get("class_path") not in (None, value["class_path"]):
        prev_val.pop("init_args", None)
    _KEEP_WHAT_FITS(parser_or_action, prev_val, value)
