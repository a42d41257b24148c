"""Stages and choices as plain values, as checkpoints and exports hold them, and back."""

import inspect
from collections.abc import Collection
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
        InputError: an argument is not kept, or is no value that a configuration can hold.
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
        reason = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
        raise InputError(f"cannot build {config['class_path']} as its checkpoint describes it: {reason}") from error
