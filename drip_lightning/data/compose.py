"""From cropped layers and drawn choices to a batch of composites: the same in the worker and on the training device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

import torch
from torch import Tensor

from drip_lightning.data.augment import SampleChoices
from drip_lightning.data.damage import Damage
from drip_lightning.data.degradations import ImageChange
from drip_lightning.data.sample import MattingBatch, check_batch
from drip_lightning.ops.colour import distort, uint8_matrix
from drip_lightning.ops.compositing import composite_uint8
from drip_lightning.ops.padding import (
    pad_foreground_blur,
    pad_foreground_normalised_blur,
    pad_foreground_push_pull,
)
from drip_lightning.ops.trimap import StructuringElement, trimap_from_alpha

ForegroundPadding = Literal["push_pull", "blur", "hidden_blur", "normalised_blur", "none"]

_PADDINGS: dict[ForegroundPadding, Callable[[Tensor, Tensor], Tensor]] = {
    "push_pull": pad_foreground_push_pull,
    "blur": lambda foreground, alpha: pad_foreground_blur(_black_out(foreground, alpha), alpha),
    "hidden_blur": pad_foreground_blur,
    "normalised_blur": pad_foreground_normalised_blur,
    "none": lambda foreground, alpha: _black_out(foreground, alpha),
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
    choices: SampleChoices
    key: str
    number: int
    damage: tuple[Damage, ...] = ()
    """What had to be replaced to make this sample."""


class LayerBatch(TypedDict):
    """Stacked layers: 8-bit pictures and a few numbers, cheap to move to a device."""

    foreground: Tensor
    """(B, 3, H, W) uint8."""
    alpha: Tensor
    """(B, 1, H, W) uint8."""
    background: Tensor
    """(B, 3, H, W) uint8."""
    foreground_colours: Tensor
    """(B, 3, 4) float32, colour maps of `ops.colour`."""
    background_colours: Tensor
    dilation: list[int]
    """Trimap radius in pixels."""
    erosion: list[int]
    linear_light: list[bool]
    image_changes: list[tuple[ImageChange, ...]]
    """What degrades each composite."""
    key: list[str]
    number: list[int]
    damage: list[Damage]


class CompositeBatch(TypedDict):
    """A composed batch in 8-bit values, a quarter of the bytes of the `MattingBatch` it becomes."""

    image: Tensor
    alpha: Tensor
    trimap: Tensor
    """0, 128 or 255."""
    foreground: Tensor
    background: Tensor
    hints: NotRequired[Tensor]
    """(B, 7 · guesses, H, W), see `Hints`."""
    key: list[str]
    number: list[int]
    damage: list[Damage]


def stack_layers(samples: Sequence[Layers]) -> LayerBatch:
    """Collate samples of one size into a batch."""
    choices = [sample.choices for sample in samples]
    return LayerBatch(
        foreground=torch.stack([sample.foreground for sample in samples]),
        alpha=torch.stack([sample.alpha for sample in samples]),
        background=torch.stack([sample.background for sample in samples]),
        foreground_colours=torch.stack([uint8_matrix(drawn.foreground_colours) for drawn in choices]),
        background_colours=torch.stack([uint8_matrix(drawn.background_colours) for drawn in choices]),
        dilation=[drawn.dilation for drawn in choices],
        erosion=[drawn.erosion for drawn in choices],
        linear_light=[drawn.linear_light for drawn in choices],
        image_changes=[drawn.image_changes for drawn in choices],
        key=[sample.key for sample in samples],
        number=[sample.number for sample in samples],
        damage=[damage for sample in samples for damage in sample.damage],
    )


@dataclass(frozen=True)
class Composer:
    """Makes composites of layers, wherever the batch lies, without chance, in 8-bit values.

    The CPU has kernels of its own, other devices tensor operations; both compute the same values.

    Attributes:
        foreground_padding: How the foreground is filled where alpha is 0: `push_pull` (pyramid), `blur` (DRIP Alg. 2),
            `hidden_blur` (the same, from the colours that the file has there), `normalised_blur` (`blur` divided by
            the equally blurred mask) or `none` (black).
        trimap_structuring_element: What the radii of the trimap mean.
    """

    foreground_padding: ForegroundPadding = "push_pull"
    trimap_structuring_element: StructuringElement = "square"

    def __call__(self, layers: LayerBatch) -> MattingBatch:
        """Compose, and convert to floats."""
        return as_batch(self.compose(layers))

    def compose(self, layers: LayerBatch) -> CompositeBatch:
        """Distort colours, pad the foreground, make the trimap, composite; degrade the image last."""
        alpha = layers["alpha"]
        foreground = distort(layers["foreground"], layers["foreground_colours"])
        foreground = _PADDINGS[self.foreground_padding](foreground, alpha)
        background = distort(layers["background"], layers["background_colours"])
        image = composite_uint8(foreground, alpha, background, layers["linear_light"])
        return CompositeBatch(
            image=torch.stack([degrade(*pair) for pair in zip(image, layers["image_changes"], strict=True)]),
            alpha=alpha,
            trimap=trimap_from_alpha(
                alpha, layers["dilation"], layers["erosion"], structuring_element=self.trimap_structuring_element
            ),
            foreground=foreground,
            background=background,
            key=layers["key"],
            number=layers["number"],
            damage=layers["damage"],
        )


def as_batch(composite: CompositeBatch) -> MattingBatch:
    """Convert 8-bit values to what the stages take."""
    batch = MattingBatch(
        image=composite["image"] / 255,
        alpha=composite["alpha"] / 255,
        trimap=((composite["trimap"] >> 7) + (composite["trimap"] & 1)) / 2,  # 0, 128, 255 to 0, 1, 2 halves
        foreground=composite["foreground"] / 255,
        background=composite["background"] / 255,
        key=composite["key"],
        number=composite["number"],
    )
    if "hints" in composite:
        batch["hints"] = composite["hints"] / 255
    return check_batch(batch)


def degrade(image: Tensor, changes: Sequence[ImageChange]) -> Tensor:
    """Apply to one picture (3, H, W) uint8 what was drawn, in order."""
    for change in changes:
        image = change(image)
    return image


def _black_out(foreground: Tensor, alpha: Tensor) -> Tensor:
    return torch.where(alpha > 0, foreground, 0)
