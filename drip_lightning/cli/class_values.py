"""Classes as values of a configuration, where jsonargparse treats them otherwise than the project needs."""

from typing import Any

from jsonargparse import Namespace, _typehints

from drip_lightning.choices import current_name

_WITH_A_MONITOR = {"ReduceLROnPlateau": "lightning.pytorch.cli.ReduceLROnPlateau"}
"""Names that torch and Lightning share to those whose `monitor` a configuration can say."""

_KEEP_WHAT_FITS = _typehints.discard_init_args_on_class_path_change
_RESOLVE = _typehints.resolve_class_path_by_name


def adapt_class_values() -> None:
    """Let jsonargparse know renamed choices, and drop all settings of a class that another takes the place of.

    Where it merges values it keeps those that the new class has by name, the old one's defaults included (its issue
    460): Adam's weight decay of 0 would become AdamW's.
    """
    _typehints.discard_init_args_on_class_path_change = _discard
    _typehints.resolve_class_path_by_name = _resolve


def _discard(parser_or_action: Any, prev_val: Any, value: Any) -> None:
    """In place of the function of this name: settings of the same class stay, a swapped one's all go."""
    if isinstance(prev_val, dict | Namespace) and prev_val.get("class_path") not in (None, value["class_path"]):
        prev_val.pop("init_args", None)
    _KEEP_WHAT_FITS(parser_or_action, prev_val, value)


def _resolve(cls: Any, name: str) -> str:
    """In place of the function of this name: a class may have the name of an earlier version, or one of two."""
    return _RESOLVE(cls, _WITH_A_MONITOR.get(name, current_name(name)))
