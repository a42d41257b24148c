"""Stages and choices as plain values, as checkpoints and exports hold them, and back."""

import inspect
import re
from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from typing import Any

from jsonargparse import ArgumentParser

from drip_lightning.choices import check_importable, described, name_of
from drip_lightning.errors import InputError


def choice_to_config(choice: Any, *, leave_out: Collection[str] = ()) -> Any:
    """Describe a stage or choice in plain values: `{class_path, init_args}`, as in a YAML configuration.

    Args:
        choice: An object that keeps each argument of its class under the argument's name; or a plain value.
        leave_out: Arguments of the object itself that are not described.

    Raises:
        InputError: an argument is not kept, or is not a value that a configuration can hold; or a class has no name.
    """
    if choice is None or isinstance(choice, bool | int | float | str):
        return choice
    if isinstance(choice, list | tuple):
        return [choice_to_config(item) for item in choice]
    kind = type(choice)
    if kind.__module__ == "builtins" or isinstance(choice, Enum):
        raise InputError(
            f"{choice!r} cannot be described in a checkpoint: a choice holds numbers, texts, lists and choices"
        )
    if "<locals>" in kind.__qualname__:
        raise InputError(
            f"{name_of(kind)} is defined in a function, where no checkpoint finds it again: define it in a module"
        )
    arguments = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or (
            name not in leave_out and not hasattr(choice, name)
        ):
            raise InputError(
                f"{name_of(kind)} does not keep its argument {name} under that name: a checkpoint could not describe it"
            )
        if name not in leave_out:
            arguments[name] = choice_to_config(getattr(choice, name))
    return {"class_path": name_of(kind), "init_args": arguments}


def config_to_choice(config: dict[str, Any], base: type) -> Any:
    """Undo `choice_to_config`: make an object of class `base` or a subclass; nothing else is ever instantiated.

    Raises:
        InputError: the description does not fit the classes of this version.
    """
    config = described(config)
    check_importable(config, where="the checkpoint")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, "choice")
    try:
        return parser.instantiate(parser.parse_object({"choice": config})).choice
    except Exception as error:  # jsonargparse raises many kinds; all mean a description that does not fit
        raise InputError(
            f"cannot build {config['class_path']} as a checkpoint describes it: {_reason(error)}"
        ) from error


def check_rebuilt(description: Any, rebuilt: Any) -> None:
    """Compare an object's description with that of the object which was made from it.

    Raises:
        InputError: they differ, so that a checkpoint would be loaded as something else than what was trained.
    """
    found = [
        f"{name} {short(first)} becomes {short(second)}" for name, first, second in differing(description, rebuilt)
    ]
    if found:
        raise InputError(
            f"cannot build {short(description)} again as a checkpoint describes it: {'; '.join(found)}; a choice keeps "
            "each argument as it was given"
        )


def differing(
    first: Any, second: Any, name: str = "", *, ignored: Collection[str] = ()
) -> Iterator[tuple[str, Any, Any]]:
    """Where two descriptions differ: an argument's dotted name, and its value or description in either.

    What only one of two objects of a class has is passed over, for it is another version's.

    Args:
        first: As `choice_to_config` gives it.
        second: The same.
        name: Of the argument that both describe.
        ignored: Arguments that are passed over, wherever they are.
    """
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        if first.get("class_path") != second.get("class_path"):
            yield name, first, second
            return
        for key in first:
            if key in second and key not in ignored:
                below = name if key == "init_args" else f"{name}.{key}".removeprefix(".")
                yield from differing(first[key], second[key], below, ignored=ignored)
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for place, pair in enumerate(zip(first, second, strict=True)):
            yield from differing(*pair, f"{name}.{place}", ignored=ignored)
    elif first != second:
        yield name, first, second


def short(value: Any) -> str:
    """A description's class, or the plain value."""
    if isinstance(value, list):
        return f"[{', '.join(map(short, value))}]"
    return str(value["class_path"]).rsplit(".", 1)[-1] if isinstance(value, Mapping) else str(value)


_FRAME = (
    "Parser key",
    "Problem with",
    "Does not validate",
    "Subtypes:",
    "Errors:",
    "Given value",
    "Expected a <class 'N",
)


def _reason(error: Exception) -> str:
    """The argument and the complaint in what jsonargparse says, which also lists all that it tried."""
    lines = [line.strip().removeprefix("- ") for line in str(error).splitlines() if line.strip()]
    _, *names = [*re.findall(r'Parser key "([^"]+)"', str(error)), ""]
    reason = " ".join(line for line in lines if not line.startswith(_FRAME))
    name = ".".join(filter(None, names))
    return f"{name}: {reason}" if name else reason
