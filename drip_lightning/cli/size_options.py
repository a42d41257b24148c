"""Options that say at which size, in which tiles and in what precision networks work on a picture."""

import argparse
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from drip_lightning.lit.matting import MattingStage
    from drip_lightning.nn.sampler import MattingSampler

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
        "--memory",
        type=parse_bytes,
        metavar="SIZE",
        help="of the whole process at most, on a GPU of what is there, such as 4GB (default: what is free)",
    )
    parser.add_argument(
        "--precision", choices=("32", *_DTYPES), default="32", help="of the networks' numbers (default: 32)"
    )


def sized_sampler(stage: "MattingStage", options: argparse.Namespace) -> "MattingSampler":
    """A stage's sampler at the sizes that were given; the checkpoint's where none were.

    Raises:
        InputError: no picture could be brought to them.
    """
    from drip_lightning.nn.memory_bound import MemoryBound

    for name, word in _WORDS.items():
        value = getattr(options, name)
        if value is not None:
            setattr(stage, name, None if value == word else value)
    return replace(stage.sampler, memory=MemoryBound(options.memory))


def in_precision(options: argparse.Namespace, device: "torch.device") -> AbstractContextManager[None]:
    """The context in which networks work in the given precision."""
    import torch

    lower = _DTYPES.get(options.precision)
    return torch.autocast(device.type, getattr(torch, lower) if lower else None, enabled=lower is not None)


def parse_bytes(text: str) -> int:
    """A size such as `4GB`, `512M` or `1.5GiB` in bytes; to be given as an option's `type`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)(i?)B?", text.strip(), re.IGNORECASE)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected a size such as 4GB or 512MB, got {text!r}")
    number, prefix, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** " KMGT".index(prefix.upper() or " "))


def _number_or(word: str) -> Callable[[str], int | str]:
    def parse(text: str) -> int | str:
        try:
            return text if text == word else int(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected a whole number or {word}, got {text!r}") from error

    return parse
