"""Where the sources of a run are now: the networks and runs that its checkpoints name, and do not hold."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drip_lightning.errors import InputError

MOVED_HELP = "where what a run names is now, if it was moved: Stable Diffusion, an autoencoder, a denoiser's run"
"""Of the option `--moved OLD=NEW,…` of every verb that loads a run."""


class MissingSource(InputError):
    """What a run builds on is not where it is looked for; `from_checkpoint` says where else to look.

    Args:
        what: What cannot be loaded.
        source: Where it was looked for.
        remedy: What to do in a configuration of one's own.
    """

    def __init__(self, what: str, *, source: str, remedy: str) -> None:
        super().__init__(f"{what}: {remedy}")
        self.what = what
        self.source = source

    def named_by(self, file: Path) -> InputError:
        """The error where a checkpoint names the source."""
        return InputError(f"{file}: {self.what}; say where it is now with --moved {self.source}=NEW")


def moved_places(text: str | None) -> dict[str, str]:
    """The places that an option's value `OLD=NEW,OLD=NEW` gives; none without one.

    Raises:
        InputError: it is none, or nothing is at a new place.
    """
    places = {}
    for words in text.split(",") if text else []:
        splits = [(words[:place], words[place + 1 :]) for place, sign in enumerate(words) if sign == "="]
        found = [(old, new) for old, new in splits if old and new and Path(new).exists()]
        if not found:
            raise InputError(f"--moved: expected OLD=NEW, and NEW a folder or file that is there, got {words!r}")
        places[found[0][0].rstrip("/")] = found[0][1]
    return places


def moved_paths(values: Any, moved: Mapping[str, str] | None = None, *, file: Path | None = None) -> Any:
    """Bring paths up to date.

    Args:
        values: A plain value, or a mapping of such, as a description or a configuration holds them.
        moved: Old place to new, of a source itself or of a folder above it.
        file: What holds the values. A relative path that is not here may stand above it, as in a tree that was moved as
            a whole.
    """
    if isinstance(values, dict):
        return {name: moved_paths(value, moved, file=file) for name, value in values.items()}
    if not isinstance(values, str):
        return values
    for old, new in (moved or {}).items():
        if values == old or values.startswith(f"{old}/"):
            return new + values.removeprefix(old)
    if file is not None and "/" in values and not Path(values).exists():
        for folder in file.absolute().parents:
            if (folder / values).exists():
                return str(folder / values)
    return values
