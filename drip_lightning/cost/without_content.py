"""Stages and batches without content: they go through the very code of a step, and nothing is computed."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from drip_lightning.data.sample import MattingBatch
from drip_lightning.lit.stage import Stage
from drip_lightning.nn.latents import CPU_PIXELS_AT_ONCE, GPU_PIXELS_AT_ONCE, LatentCodec
from drip_lightning.ops.hints.choice import NoHints


class WithoutContent:
    """A stage whose weights have no content, and batches for it; what it draws by chance stays real, and is small.

    Args:
        stage: Its networks not built yet; to be used for this alone.
        on_gpu: Whether it is to behave as on one: larger slices of pictures through the VAE, and normalisation in
            float32 under autocast.
    """

    def __init__(self, stage: Stage, *, on_gpu: bool) -> None:
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        stage.build_without_weights()
        stage.log = stage.log_dict = lambda *args, **kwargs: None  # type: ignore[method-assign,assignment]
        self.stage = stage
        known: dict[int, nn.Parameter] = {}
        for module in stage.modules():
            for name, weight in list(module.named_parameters(recurse=False, remove_duplicate=False)):
                setattr(module, name, known.setdefault(id(weight), self._empty_weight(weight)))
            if isinstance(module, LatentCodec):
                module.pixels_at_once = GPU_PIXELS_AT_ONCE if on_gpu else CPU_PIXELS_AT_ONCE
            if on_gpu and isinstance(module, nn.GroupNorm | nn.LayerNorm):
                module.register_forward_pre_hook(_normalise_in_float32)
        stage.train()

    def batch(self, samples: int, size: int) -> MattingBatch:
        """A training batch of `samples` with pictures of size², as the data module's."""
        channels = {"image": 3, "foreground": 3, "background": 3, "alpha": 1, "trimap": 1}
        if guesses := getattr(self.stage, "hints", NoHints()).channels:
            channels["hints"] = guesses
        maps: Any = {name: self.empty(samples, count, size, size) for name, count in channels.items()}
        return maps | {"key": [""] * samples, "number": list(range(samples))}

    def empty(self, *shape: int) -> Tensor:
        """A float32 tensor."""
        with self._mode:
            return torch.empty(shape)

    def autocast(self, precision: str) -> AbstractContextManager[Any]:
        """What Lightning puts around a step: `bf16-mixed`, `16-mixed`, or nothing of either."""
        dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
        return torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None)

    def _empty_weight(self, weight: nn.Parameter) -> nn.Parameter:
        with self._mode:
            return nn.Parameter(torch.empty_strided(weight.size(), weight.stride()), weight.requires_grad)


def _normalise_in_float32(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Before a norm: as CUDA's autocast does, and the CPU's, under which this runs, does not."""
    return (inputs[0].float(), *inputs[1:]) if torch.is_autocast_enabled("cpu") else inputs
