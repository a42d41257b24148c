"""The contract between the data and the stages: what a batch holds, and the check that it holds it."""

from typing import NotRequired, TypedDict

import torch
from torch import Tensor

from drip_lightning.errors import InputError


class MattingBatch(TypedDict):
    """One batch of composites; every picture is float32 in [0, 1] and all share height and width.

    Training batches obey `image == over(foreground, alpha, background)` to 8-bit rounding or better, before the image
    alone is degraded (`ImageDegradation`), and but for samples composited in linear light. Evaluation
    batches have no background, and `foreground` only where the source has one.
    """

    image: Tensor
    """(B, 3, H, W), the composite."""
    alpha: Tensor
    """(B, 1, H, W), the true matte."""
    trimap: Tensor
    """(B, 1, H, W), exactly 0 (background), 0.5 (unknown) or 1 (foreground)."""
    foreground: NotRequired[Tensor]
    """(B, 3, H, W), straight (not premultiplied) colour, padded where alpha is 0."""
    background: NotRequired[Tensor]
    """(B, 3, H, W)."""
    hints: NotRequired[Tensor]
    """(B, 7 · guesses, H, W), of a training batch whose worker made them: see `Hints`."""
    key: list[str]
    """Names of the samples, for messages and file names."""
    number: list[int]
    """Global sample numbers: with the seed they determine every random choice made for the sample."""


_CHANNELS = {"image": 3, "alpha": 1, "trimap": 1, "foreground": 3, "background": 3}


def check_batch(batch: MattingBatch) -> MattingBatch:
    """Return the batch unchanged if it keeps the contract; shapes and dtypes only, so that no device is waited for.

    Raises:
        InputError: a map is missing or has another shape or dtype; the message names it and the first sample's key.
    """
    height, width = batch["image"].shape[-2:]
    expected_size = len(batch["key"])
    for name, channels in _CHANNELS.items():
        if name not in batch:
            if name in ("foreground", "background"):
                continue
            raise InputError(f"batch starting with {batch['key'][0]!r} has no {name}")
        picture = batch[name]  # type: ignore[literal-required]
        if tuple(picture.shape) != (expected_size, channels, height, width) or picture.dtype != torch.float32:
            raise InputError(
                f"{name} of the batch starting with {batch['key'][0]!r}: expected float32 of shape "
                f"{(expected_size, channels, height, width)}, got {picture.dtype} of shape {tuple(picture.shape)}"
            )
    if len(batch["number"]) != expected_size:
        raise InputError(f"batch of {expected_size} keys has {len(batch['number'])} sample numbers")
    return batch
