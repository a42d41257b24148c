"""A resumed run is the run that its checkpoint describes, or what differs is named."""

from collections.abc import Iterator, Mapping
from typing import Any

from drip_lightning.choices import described
from drip_lightning.errors import InputError

_MAY_CHANGE = {"sampling_steps", "gradient_checkpointing", "seed"}
"""Of a stage: how it is scored and computed, not what it is."""
_PLACES = {"vae", "source", "revision", "denoiser"}
"""Where frozen networks are now: a folder may have moved."""


def check_same_model(recorded: Mapping[str, Any], configured: Mapping[str, Any], *, where: str) -> None:
    """Compare two stages' descriptions; what only one of them has is another version's.

    Raises:
        InputError: they describe different models.
    """
    found = list(_differences(described(recorded), described(configured), ""))
    if found:
        raise InputError(
            f"{where} is of another model: {'; '.join(found)}; give the configuration that it was trained with, or "
            "another --trainer.default_root_dir without --ckpt_path"
        )


def _differences(recorded: Any, configured: Any, name: str) -> Iterator[str]:
    if isinstance(recorded, Mapping) and isinstance(configured, Mapping):
        if recorded.get("class_path") != configured.get("class_path"):
            yield f"{name} {_short(recorded)}, configured {_short(configured)}"
            return
        for key in recorded:
            if key in configured and key not in _MAY_CHANGE | _PLACES:
                below = name if key == "init_args" else f"{name}.{key}".removeprefix(".")
                yield from _differences(recorded[key], configured[key], below)
    elif recorded != configured:
        yield f"{name} {_short(recorded)}, configured {_short(configured)}"


def _short(value: Any) -> str:
    return str(value["class_path"]).rsplit(".", 1)[-1] if isinstance(value, Mapping) else str(value)
