"""A resumed run is the run that its checkpoint describes, or what differs is named."""

from collections.abc import Collection, Mapping
from typing import Any

from drip_lightning.choices import described
from drip_lightning.errors import InputError
from drip_lightning.lit.description import differing, short

_MAY_CHANGE = {
    "sampling_steps",
    "processing_size",
    "tile_size",
    "known",
    "inference_noise",
    "gradient_checkpointing",
    "seed",
}
"""Of a stage: how it is scored and computed, not what it is."""
_PLACES = {"vae", "source", "revision", "denoiser"}
"""Where frozen networks are now: a folder may have moved."""


def check_same_model(recorded: Mapping[str, Any], configured: Mapping[str, Any], *, where: str) -> None:
    """Compare two stages' descriptions; what only one of them has is another version's.

    Raises:
        InputError: they describe different models.
    """
    found = differences(described(recorded), described(configured), ignored=_MAY_CHANGE | _PLACES)
    if found:
        raise InputError(
            f"{where} is of another model: {found}; give the configuration that it was trained with, or "
            "another --trainer.default_root_dir without --ckpt_path"
        )


def differences(recorded: Any, configured: Any, *, ignored: Collection[str] = ()) -> str:
    """What two descriptions do not share, in words; empty where they agree.

    Args:
        recorded: A checkpoint's.
        configured: The run's.
        ignored: Arguments that may differ.
    """
    return "; ".join(
        f"{name} {short(then)}, configured {short(now)}"
        for name, then, now in differing(recorded, configured, ignored=ignored)
    )
