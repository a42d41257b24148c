"""Stages and batches without content: they go through the very code of a step, and nothing is computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

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
        self._on_gpu = on_gpu
        stage.build_without_weights()
        stage.log = stage.log_dict = lambda *args, **kwargs: None  # type: ignore[method-assign,assignment]
        self.stage = stage
        known: dict[int, nn.Parameter] = {}
        for module in stage.modules():
            for name, weight in list(module.named_parameters(recurse=False, remove_duplicate=False)):
                setattr(module, name, known.setdefault(id(weight), self._empty_weight(weight)))
            if isinstance(module, LatentCodec):
                module.pixels_at_once = GPU_PIXELS_AT_ONCE if on_gpu else CPU_PIXELS_AT_ONCE
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

    @contextmanager
    def autocast(self, precision: str) -> Iterator[None]:
        """What Lightning puts around a step: `bf16-mixed`, `16-mixed`, or nothing of either."""
        dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
        with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
            if dtype is None or not self._on_gpu:
                yield
            else:
                with _NormalisesInFloat32():
                    yield

    def _empty_weight(self, weight: nn.Parameter) -> nn.Parameter:
        with self._mode:
            return nn.Parameter(torch.empty_strided(weight.size(), weight.stride()), weight.requires_grad)


class _NormalisesInFloat32(TorchFunctionMode):
    """As CUDA's autocast does, and the CPU's, under which this runs, does not."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (nn.functional.group_norm, nn.functional.layer_norm) and torch.is_autocast_enabled("cpu"):
            args = (args[0].float(), *args[1:])
        return func(*args, **(kwargs or {}))
