"""Options that say at which size, in which tiles and in what precision networks work on a picture."""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from drip_lightning.lit.matting import MattingStage

_WORDS = {"processing_size": "native", "tile_size": "whole"}
"""An option's word for no size at all."""
_DTYPES = {"bf16": "bfloat16", "fp16": "float16"}


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
        "--precision", choices=("32", *_DTYPES), default="32", help="of the networks' numbers (default: 32)"
    )


def set_sizes(stage: "MattingStage", options: argparse.Namespace) -> None:
    """Have a stage's pipeline work at the sizes that were given; the checkpoint's stay where none were.

    Raises:
        InputError: no picture could be brought to them.
    """
    for name, word in _WORDS.items():
        value = getattr(options, name)
        if value is not None:
            setattr(stage, name, None if value == word else value)


def in_precision(options: argparse.Namespace, device: "torch.device") -> AbstractContextManager[None]:
    """The context in which networks work in the given precision."""
    import torch

    lower = _DTYPES.get(options.precision)
    return torch.autocast(device.type, getattr(torch, lower) if lower else None, enabled=lower is not None)


def _number_or(word: str) -> Callable[[str], int | str]:
    def parse(text: str) -> int | str:
        try:
            return text if text == word else int(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected a whole number or {word}, got {text!r}") from error

    return parse
