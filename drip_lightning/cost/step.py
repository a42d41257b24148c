"""What one step costs a rank: operations, by part, and memory, counted on the step's own code."""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop, sdpa_flop

from drip_lightning.cost.without_content import WithoutContent
from drip_lightning.data.sample import MattingBatch
from drip_lightning.lit.autoencoder import Autoencoder
from drip_lightning.lit.latent_source import CachedLatents, LatentSource
from drip_lightning.lit.matting import MattingStage
from drip_lightning.lit.stage import Stage
from drip_lightning.lit.transparency import TransparencyDecoder
from drip_lightning.nn.activation_memory import Peak
from drip_lightning.nn.latents import LatentPairs

BACKWARD = "backward"
_PARTS = {
    "codec.vae.encoder": "VAE encoder",
    "codec.vae.decoder": "VAE decoder",
    "vae.encoder": "encoder",
    "vae.decoder": "decoder",
    "joint_unet": "denoiser",
    "latent_decoder": "transparency decoder",
}
_DENOISER = _PARTS["joint_unet"]
_REST = "rest"
_aten = torch.ops.aten
_ATTENTION = {
    _aten._scaled_dot_product_flash_attention_for_cpu: lambda query, key, value, *args, **kwargs: sdpa_flop(
        query, key, value
    ),
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda grad, query, key, value, *args, **kwargs: (
        sdpa_backward_flop(grad, query, key, value)
    ),
}
"""What the counter does not know: the CPU's attention."""


@dataclass(frozen=True)
class StepCost:
    """What a batch costs.

    Attributes:
        operations: Part to multiplications and additions, of convolutions and matrix products, for one sample. What
            gradient checkpointing computes again is part of `backward`.
        kept_bytes: What the forward pass of the whole batch keeps for the backward pass.
        peak_bytes: The most that the batch takes at any time, beside weights, gradients and optimizer.
        denoiser_call: Operations of one call of the denoiser, for one sample.
    """

    operations: dict[str, float]
    kept_bytes: int
    peak_bytes: int
    denoiser_call: float = 0.0

    @property
    def total(self) -> float:
        """Operations of a sample, all parts together."""
        return sum(self.operations.values())


def count_step(empty: WithoutContent, *, samples: int, size: int, precision: str = "32-true") -> StepCost:
    """Take a training step without content.

    Args:
        empty: The stage.
        samples: Of the batch that one rank is given at a time.
        size: Side of the pictures.
        precision: As Lightning names it.
    """
    stage, calls = empty.stage, 1.0
    if isinstance(stage, TransparencyDecoder):
        calls = (1 + stage.max_steps) / 2  # each sample has 1 to max_steps; one is counted
        stage.max_steps = 1
        if isinstance(stage.latents, CachedLatents):
            stage.latents = _AnyLatents(empty)
    for weight in stage.parameters():
        if weight.requires_grad:
            weight.register_post_accumulate_grad_hook(_let_go)
    forward, backward = operation_counter(), operation_counter()
    with warnings.catch_warnings(), Peak() as peak:
        # what is kept of a frozen prompt is known by its place, and all of these have none
        warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
        batch = empty.batch(samples, size)
        with empty.autocast(precision), forward:
            loss = _Step(stage)(batch)
        kept = peak.held
        if loss.requires_grad:
            with backward:
                loss.backward()
        most = peak.most
    operations = _by_part(forward, samples)
    call = operations.get(_DENOISER, 0.0)
    if call:
        operations[_DENOISER] = call * calls
    operations[BACKWARD] = backward.get_total_flops() / samples
    return StepCost(operations, kept, most, call)


def count_matte(empty: WithoutContent, step: StepCost, *, size: int) -> dict[str, float]:
    """Operations of one evaluation picture of size², by part.

    Args:
        empty: The stage.
        step: What `count_step` says of it, for pictures of the same size.
        size: Side of the picture.
    """
    stage, counter = empty.stage, operation_counter()
    if isinstance(stage, Autoencoder):
        return {name: value for name, value in step.operations.items() if name != BACKWARD}
    if not isinstance(stage, MattingStage):
        return {}
    with torch.no_grad(), counter:
        _Ends(stage)(empty.batch(1, size), empty)
    return _by_part(counter, 1) | {_DENOISER: step.denoiser_call * stage.sampling_steps}


class _Step(nn.Module):
    """A stage's step as a module's call, which names the parts below it."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage: Stage = stage

    def forward(self, batch: MattingBatch) -> Tensor:
        loss = self.stage.training_step(batch, 0)
        assert isinstance(loss, Tensor)
        return loss


class _Ends(_Step):
    """A picture's encoding and its decoding, without the denoising between them."""

    def forward(self, batch: MattingBatch, empty: WithoutContent) -> Any:  # type: ignore[override]
        assert isinstance(self.stage, MattingStage)
        sampler = self.stage.sampler
        condition = sampler.condition(batch["image"], batch["trimap"])
        latents = empty.empty(2, sampler.codec.channels, *condition.shape[-2:])
        hints = batch["hints"] if "hints" in batch else batch["image"][:, :0]
        pairs = LatentPairs(sampler.codec, latents, sampler.reduction)
        return sampler.decoder.decode(batch["image"], batch["trimap"], pairs, hints)


class _AnyLatents(LatentSource):
    """In place of latents from a folder."""

    def __init__(self, empty: WithoutContent) -> None:
        self._empty = empty

    def __call__(self, batch: MattingBatch, **_: Any) -> Tensor:
        stage = self._empty.stage
        assert isinstance(stage, TransparencyDecoder)
        samples, _channels, *size = batch["image"].shape
        shrunk = [side // (stage.codec.downsampling * stage.reduction) for side in size]
        return self._empty.empty(2 * samples, stage.codec.channels, *shrunk)


def operation_counter() -> FlopCounterMode:
    """PyTorch's, which then knows the CPU's attention, too."""
    return FlopCounterMode(display=False, custom_mapping=_ATTENTION)


def _by_part(counter: FlopCounterMode, samples: int) -> dict[str, float]:
    """Operations of one sample by part; what none of the parts has is `rest`."""
    found = {name: sum(own.values()) / samples for name, own in counter.get_flop_counts().items()}
    parts: dict[str, float] = {}
    for prefix, label in _PARTS.items():
        inside = [name for name in found if f"{name}.".partition(".stage.")[2].startswith(f"{prefix}.")]
        outermost = [name for name in inside if not any(name.startswith(f"{other}.") for other in inside)]
        if outermost:
            parts[label] = sum(found[name] for name in outermost)
    rest = counter.get_total_flops() / samples - sum(parts.values())
    return parts | ({_REST: rest} if rest > 1e-3 * sum(parts.values()) else {})


def _let_go(weight: Tensor) -> None:
    """Of gradients, which `memory` counts for itself."""
    weight.grad = None
