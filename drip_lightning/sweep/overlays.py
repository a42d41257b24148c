"""Refuses overlays that would not mean what they say: two that write one key, and half a change of class."""

import inspect
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from drip_lightning.errors import InputError

Keys = tuple[str, ...]


def check_overlays(overlays: Sequence[str], *, base: Mapping[str, Any], own: Sequence[str] = ()) -> None:
    """Check overlays that are laid over one stage together.

    Configurations are merged key by key, so of two overlays that write one key the later silently wins; and where a
    class is swapped, those `init_args` of the old class that the new one has too silently survive.

    Args:
        overlays: YAML files, none of them a stage's whole configuration.
        base: What they are laid over.
        own: Keys that the sweep itself sets.

    Raises:
        InputError: two overlays write the same key, one writes a key of the sweep's own, or one swaps a class without
            stating all its `init_args`.
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
        _check_swaps(content, base, path)


def _written_keys(content: Any, base: Any, above: Keys = ()) -> Iterator[Keys]:
    """Every key that holds a value; a swapped class is one value with all that is below it."""
    if not isinstance(content, Mapping) or _swaps(content, base):
        yield above
        return
    for key, value in content.items():
        if key != "class_path":  # it is the base's
            yield from _written_keys(value, _below(base, key), (*above, str(key)))


def _check_swaps(content: Any, base: Any, path: str, above: Keys = ()) -> None:
    if not isinstance(content, Mapping):
        return
    if _swaps(content, base):
        stated, name = content.get("init_args") or {}, str(content["class_path"])
        missing = [argument for argument in _arguments(name, path) if argument not in stated]
        if missing:
            raise InputError(
                f"{path}: {'.'.join(above)} becomes {name} and leaves {', '.join(missing)} to whatever was there: "
                "state all init_args"
            )
    for key, value in content.items():
        _check_swaps(value, _below(base, key), path, (*above, str(key)))


def _swaps(content: Mapping[str, Any], base: Any) -> bool:
    return "class_path" in content and content["class_path"] != _below(base, "class_path")


def _below(base: Any, key: str) -> Any:
    return base.get(key) if isinstance(base, Mapping) else None


def _arguments(class_path: str, path: str) -> list[str]:
    """Names of a class's arguments that have a default: the others a configuration cannot forget."""
    try:
        made = pkgutil.resolve_name(class_path)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{path}: there is no class {class_path}") from error
    parameters = inspect.signature(made).parameters.values()
    return [parameter.name for parameter in parameters if parameter.default is not parameter.empty]
