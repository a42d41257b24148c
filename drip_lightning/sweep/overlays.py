"""Refuses overlays that would not mean what they say: two that write one key."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from drip_lightning.choices import path_of
from drip_lightning.errors import InputError

Keys = tuple[str, ...]


def check_overlays(overlays: Sequence[str], *, base: Mapping[str, Any], own: Sequence[str] = ()) -> None:
    """Check overlays that are laid over one stage together.

    Configurations are merged key by key, so of two overlays that write one key the later silently wins.

    Args:
        overlays: YAML files, none of them a stage's whole configuration.
        base: What they are laid over.
        own: Keys that the sweep itself sets.

    Raises:
        InputError: two overlays write the same key, or one writes a key of the sweep's own.
    """
    written: dict[Keys, str] = {}
    for path in overlays:
        content = yaml.safe_load(Path(path).read_text()) or {}
        for key in _written_keys(content, base):
            name = ".".join(key)
            if name in own:
                raise InputError(f"{path} writes {name}, which the sweep sets: take it out")
            for other, by in written.items():
                shorter = min(len(key), len(other))
                if by != path and key[:shorter] == other[:shorter]:
                    longer = ".".join(key if len(key) > len(other) else other)
                    raise InputError(f"{by} and {path} both write {longer}: no run can have both")
            written[key] = path


def _written_keys(content: Any, base: Any, above: Keys = ()) -> Iterator[Keys]:
    """Every key that holds a value; a swapped class is one value with all that is below it."""
    if not isinstance(content, Mapping) or _swaps(content, base):
        yield above
        return
    for key, value in content.items():
        if key != "class_path":  # it is the base's
            yield from _written_keys(value, _below(base, key), (*above, str(key)))


def _swaps(content: Mapping[str, Any], base: Any) -> bool:
    if "class_path" not in content:
        return False
    below = _below(base, "class_path")
    return below is None or path_of(content["class_path"]) != path_of(below)


def _below(base: Any, key: str) -> Any:
    return base.get(key) if isinstance(base, Mapping) else None
