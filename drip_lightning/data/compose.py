"""From cropped layers and drawn choices to a batch of composites: one function for worker and training device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

import torch
from kornia.enhance import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation
from torch import Tensor

from drip_lightning.data.augment import Distortion
from drip_lightning.data.sample import MattingBatch, check_batch
from drip_lightning.ops.compositing import over
from drip_lightning.ops.padding import pad_foreground_blur, pad_foreground_push_pull
from drip_lightning.ops.trimap import trimap_from_alpha

ForegroundPadding = Literal["push_pull", "blur", "none"]

_PADDINGS: dict[ForegroundPadding, Callable[[Tensor, Tensor], Tensor]] = {
    "push_pull": pad_foreground_push_pull,
    "blur": pad_foreground_blur,
    "none": lambda foreground, alpha: foreground,
}


@dataclass(frozen=True)
class Layers:
    """One training sample before composing: uint8 pictures of one size and the choices that are left to apply."""

    foreground: Tensor
    """(3, H, W) uint8, straight colour, undefined where alpha is 0."""
    alpha: Tensor
    """(1, H, W) uint8."""
    background: Tensor
    """(3, H, W) uint8."""
    foreground_distortion: Distortion
    background_distortion: Distortion
    dilation: int
    erosion: int
    key: str
    number: int


class LayerBatch(TypedDict):
    """Stacked layers: 8-bit pictures and a few numbers, cheap to move to a device."""

    foreground: Tensor
    """(B, 3, H, W) uint8."""
    alpha: Tensor
    """(B, 1, H, W) uint8."""
    background: Tensor
    """(B, 3, H, W) uint8."""
    foreground_distortion: Tensor
    """(B, 4) float32, in the order of `Distortion`."""
    background_distortion: Tensor
    dilation: Tensor
    """(B,) int64, trimap radius in pixels."""
    erosion: Tensor
    key: list[str]
    number: list[int]


def stack_layers(samples: Sequence[Layers]) -> LayerBatch:
    """Collate samples of one size into a batch."""
    return LayerBatch(
        foreground=torch.stack([sample.foreground for sample in samples]),
        alpha=torch.stack([sample.alpha for sample in samples]),
        background=torch.stack([sample.background for sample in samples]),
        foreground_distortion=torch.tensor([sample.foreground_distortion for sample in samples]),
        background_distortion=torch.tensor([sample.background_distortion for sample in samples]),
        dilation=torch.tensor([sample.dilation for sample in samples]),
        erosion=torch.tensor([sample.erosion for sample in samples]),
        key=[sample.key for sample in samples],
        number=[sample.number for sample in samples],
    )


@dataclass(frozen=True)
class Composer:
    """Makes a `MattingBatch` of a `LayerBatch`, wherever the batch lies, without chance and without waiting for it.

    Attributes:
        foreground_padding: How the foreground is filled where alpha is 0: `push_pull` (pyramid), `blur` (DRIP Alg. 2)
            or `none` (black).
    """

    foreground_padding: ForegroundPadding = "push_pull"

    def __call__(self, layers: LayerBatch) -> MattingBatch:
        """Distort colours, pad the foreground, make the trimap, composite; each map rounded as an 8-bit file would be.

        Returns:
            A batch with `image == over(foreground, alpha, background)` to half a level of 8 bits.
        """
        alpha = layers["alpha"].float() / 255
        foreground = distort(layers["foreground"].float() / 255, layers["foreground_distortion"])
        foreground = quantise(_PADDINGS[self.foreground_padding](foreground * (alpha > 0), alpha))
        background = quantise(distort(layers["background"].float() / 255, layers["background_distortion"]))
        batch = MattingBatch(
            image=quantise(over(foreground, alpha, background)),
            alpha=alpha,
            trimap=trimap_from_alpha(alpha, layers["dilation"], layers["erosion"]),
            foreground=foreground,
            background=background,
            key=layers["key"],
            number=layers["number"],
        )
        return check_batch(batch)


def distort(picture: Tensor, distortion: Tensor) -> Tensor:
    """Apply each sample's photometric distortion.

    Args:
        picture: (B, 3, H, W) in [0, 1].
        distortion: (B, 4): brightness, contrast, saturation, hue, as in `Distortion`.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    brightness, contrast, saturation, hue = distortion.unbind(1)
    picture = adjust_contrast(adjust_brightness(picture, brightness), contrast)
    return adjust_hue(adjust_saturation(picture, saturation), hue).clamp(0, 1)


def quantise(picture: Tensor) -> Tensor:
    """Round a picture in [0, 1] to the nearest of the 256 levels of an 8-bit file."""
    return (picture * 255).round() / 255
