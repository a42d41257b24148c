"""Choices from their descriptions in plain values, where nothing but their classes is at hand."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, get_type_hints

from drip_lightning.errors import InputError


def choice_of(description: Mapping[str, Any], base: type) -> Any:
    """Make a choice from `{class_path, init_args}`, as exported folders hold it.

    Args:
        description: One of the project's own by its class's name, any other by its dotted path; its arguments may be
            described in the same way.
        base: Of which its class is, or is below.

    Raises:
        InputError: there is no such class below `base`, or it takes other arguments.
    """
    name, arguments = str(description.get("class_path")), description.get("init_args", {})
    module, _, last = name.rpartition(".")
    try:
        if module:
            import_module(module)
        kind = next(one for one in _and_below(base) if one.__name__ == last and module in ("", one.__module__))
        described = {key: value for key, value in arguments.items() if _is_description(value)}
        types = get_type_hints(kind) if described else {}
        return kind(**{**arguments, **{key: choice_of(value, types[key]) for key, value in described.items()}})
    except (ImportError, StopIteration, TypeError, KeyError) as error:
        reason = str(error) or f"no such {base.__name__} is known"
        raise InputError(f"cannot make {name} as it is described: {reason}") from error


def _is_description(value: Any) -> bool:
    return isinstance(value, Mapping) and "class_path" in value


def _and_below(kind: type) -> Iterator[type]:
    yield kind
    own: list[type] = kind.__subclasses__()
    for one in own:
        yield from _and_below(one)
