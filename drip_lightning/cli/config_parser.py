"""Lightning's argument parser, whose errors are one line: the file, the wrong key, and the closest right ones."""

import inspect
import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any, NoReturn

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from drip_lightning.choices import with_names, with_paths
from drip_lightning.errors import InputError
from drip_lightning.lit.datamodule import MattingDataModule
from drip_lightning.lit.stage import Stage

_BEGIN = "begin with a stage's configuration, such as --config configs/denoiser.yaml; what changes it comes after"
_OF_EARLIER_VERSIONS = {
    "compilation.enabled": "compilation.backend compiles now, such as inductor; null does not",
    "trimap_neighbourhood": "it is augmentation.trimap_structuring_element now",
    "degradation": "it is the list augmentation.degradations now, see docs/augmentation.md",
}
_MOST_NAMED = 20
"""So many right keys are listed where none is close to the wrong one."""


class OneLineArgumentParser(LightningArgumentParser):
    """Lightning's parser, whose errors are one line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.files: dict[str, Namespace] = {}
        """What each configuration file said that was parsed last."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what is wrong as an `InputError`."""
        parser = getattr(ex, "subcommand_parser", self)  # a verb's, where the whole command line is checked
        text = one_line(message)
        key = _unknown_key(text)
        if key is not None:
            known = list(parser.get_defaults(skip_validation=True).keys())
            if "data" in known:  # whose keys depend on its class
                known += [f"data.{name}" for name in inspect.signature(MattingDataModule).parameters]
            text = f"{text}; {_instead_of(key, known)}"
        elif re.search(r"required: .*\bmodel\b", text):
            text = f"{text}; {_BEGIN}"
        elif "lr_scheduler: schedulers: " in text:
            text = f"{text}; torch's chain is OneAfterAnother here, with schedules and milestones"
        file = next((file for file, said in reversed(parser.files.items()) if key is not None and key in said), None)
        raise InputError(f"{file}: {text}" if file else text) from ex

    def parse_args(self, *args: Any, **kwargs: Any) -> Namespace:  # type: ignore[override]
        """Parse a command line, and the files that it names."""
        self.files = {}
        return super().parse_args(*args, **kwargs)

    def parse_string(self, content: str, *args: Any, **kwargs: Any) -> Namespace:
        """Parse a configuration, in which earlier versions may have written where classes were then."""
        return super().parse_string(with_paths(content), *args, **kwargs)

    def parse_path(self, path: Any, *args: Any, **kwargs: Any) -> Namespace:
        """Parse a configuration file, and name it in what is wrong with it, be that found now or in the end."""
        try:
            self.files[str(path)] = said = super().parse_path(path, *args, **kwargs)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        return said

    def dump(self, *args: Any, **kwargs: Any) -> str:
        """Write a configuration, the project's own classes by their names."""
        return with_names(super().dump(*args, **kwargs))


_FRAME = ("Does not validate against", "Subtypes:", "Errors:", "Given value", "- Expected a <class 'NoneType'>")


def one_line(message: str) -> str:
    """What the user can act on of jsonargparse's message, which also lists all types that it tried."""
    lines = [line.strip() for line in message.splitlines()]
    text = " ".join(line.removeprefix("- ") for line in lines if line and not line.startswith(_FRAME))
    text = re.sub(r"Subcommand '\w+' does not accept option ('[^']+')", r"Option \1 is not accepted", text)
    text = re.sub(r"Group '([^']+)' does not accept option '([^']+)'", r"Option '\1.\2' is not accepted", text)
    text = re.sub(r"^Call to compute_fn of link '.*?' with args \(.*?\) failed: ", "", text)
    return re.sub(r'Parser key "([^"]+)": ', r"\1: ", text)


def _unknown_key(text: str) -> str | None:
    """The key that no class takes, if that is what the text says and it does not yet say what to take instead."""
    found = re.search(r"Option '([^']+)' is not accepted$|unrecognized arguments: (?:--)?([^\s=]+)[^;]*$", text)
    return (found[1] or found[2]) if found else None


def _instead_of(key: str, known: Collection[str]) -> str:
    """What may have been meant by an unknown key.

    Args:
        key: Dotted, as given.
        known: The right ones, dotted.
    """
    if key.endswith((".yaml", ".yml")):
        return "--config goes before the name of a configuration"
    if old := next((hint for name, hint in _OF_EARLIER_VERSIONS.items() if re.search(rf"\b{name}\b", key)), None):
        return old
    if {one.partition(".")[0] for one in known} == set(inspect.signature(Stage).parameters):  # no stage was chosen
        return _BEGIN
    parts = key.split(".")
    right = 0  # of the parts
    while right < len(parts) - 1 and any(one.startswith(".".join(parts[: right + 1]) + ".") for one in known):
        right += 1
    parent = "".join(f"{part}." for part in parts[:right])
    below = [one.removeprefix(parent) for one in known if one.startswith(parent)]
    children = list(dict.fromkeys(one.partition(".")[0] for one in below))
    elsewhere = [one for one in known if one.endswith(f".{parts[-1]}")]
    if close := elsewhere or [parent + child for child in get_close_matches(parts[right], children)]:
        return f"closest: {', '.join(close)}"
    return f"expected one of {', '.join(children)}" if len(children) <= _MOST_NAMED else "--help-all lists all options"
