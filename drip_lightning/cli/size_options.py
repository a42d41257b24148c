"""Options that say at which size, in which tiles and in what precision networks work on a picture."""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_WORDS = {"processing_size": "native", "tile_size": "whole"}
"""An option's word for no size at all."""
_DTYPES = {"bf16": "bfloat16", "fp16": "float16"}
TRAINER_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
"""The option's values to Lightning's; weights are float32 in all."""


def add_size_options(parser: argparse.ArgumentParser) -> None:
    """Add them to a verb's parser."""
    parser.add_argument(
        "--processing-size",
        type=_number_or(_WORDS["processing_size"]),
        metavar="N",
        help="longest side of what the denoiser sees, or `native` for the picture's own (default: the checkpoint's)",
    )
    parser.add_argument(
        "--tile-size",
        type=_number_or(_WORDS["tile_size"]),
        metavar="N",
        help="side of the tiles that larger pictures are worked on in, or `whole` (default: the checkpoint's)",
    )
    parser.add_argument(
        "--memory",
        type=_bytes,
        metavar="SIZE",
        help="of the whole process at most, on a GPU of what is there, such as 4GB (default: what is free)",
    )
    parser.add_argument(
        "--precision", choices=tuple(TRAINER_PRECISION), default="32", help="of the networks' numbers (default: 32)"
    )


def size_changes(options: argparse.Namespace) -> dict[str, Any]:
    """What the options change of a stage, as `Stage.from_checkpoint` takes it: the sizes that were given."""
    given = {name: getattr(options, name) for name in (*_WORDS, "memory")}
    return {name: None if value == _WORDS.get(name) else value for name, value in given.items() if value is not None}


def in_precision(options: argparse.Namespace, device: "torch.device") -> AbstractContextManager[None]:
    """The context in which networks work in the given precision."""
    import torch

    lower = _DTYPES.get(options.precision)
    return torch.autocast(device.type, getattr(torch, lower) if lower else None, enabled=lower is not None)


def _bytes(text: str) -> str:
    from drip_lightning.memory import parse_bytes

    try:
        parse_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _number_or(word: str) -> Callable[[str], int | str]:
    def parse(text: str) -> int | str:
        try:
            return text if text == word else int(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected a whole number or {word}, got {text!r}") from error

    return parse
