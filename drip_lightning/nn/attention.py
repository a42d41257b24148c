"""How the U-Net's self-attention treats the two stacked domains (DRIP Sec. 3.2.2, Eq. 4)."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from drip_lightning.errors import InputError
from drip_lightning.ops.domains import join_tokens, split_tokens


class CrossDomainAttnProcessor(AttnProcessor2_0):
    """Each domain's queries attend to the keys and values of both domains (DRIP Eq. 4).

    Keys and values are the same for both domains, so Eq. 4 equals ordinary self-attention over the pair's 2N tokens:
    one fused `scaled_dot_product_attention`, nothing duplicated.
    """

    def __call__(self, attn: Attention, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Attend over (2B, N, C) stacked domains; returns the same shape."""
        return split_tokens(super().__call__(attn, join_tokens(hidden_states), *args, **kwargs))


class PromptAttnProcessor:
    """Text cross-attention to the one prompt that all samples share.

    Keys and values are cached while `to_k` and `to_v` are frozen and unchanged; never under `torch.compile`, nor of
    tensors without content.
    """

    def __init__(self) -> None:
        self._kept: tuple[Any, Tensor, Tensor] | None = None

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Attend from (N, tokens, C) to the prompt's (1, tokens, C'); returns the shape of `hidden_states`."""
        query = attn.to_q(hidden_states)
        key, value = self._keys_and_values(attn, encoder_hidden_states, hidden_states.dtype)
        query, key, value = (
            one.expand(len(query), -1, -1).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for one in (query, key, value)
        )
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        return attn.to_out[1](attn.to_out[0](attended.transpose(1, 2).flatten(2)))

    def _keys_and_values(self, attn: Attention, prompt: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        weights = [*attn.to_k.parameters(), *attn.to_v.parameters()]
        has_content = not (torch.compiler.is_compiling() or isinstance(prompt, FakeTensor))
        if not has_content or any(weight.requires_grad for weight in weights):
            return attn.to_k(prompt.to(dtype)), attn.to_v(prompt.to(dtype))
        device = prompt.device.type
        precision = dtype, torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
        made_from = precision, [(one.data_ptr(), one._version) for one in (prompt, *weights)]
        if self._kept is None or self._kept[0] != made_from:
            with torch.inference_mode(False), torch.no_grad():  # a validation's keys must be fit for training, too
                self._kept = made_from, attn.to_k(prompt.to(dtype)), attn.to_v(prompt.to(dtype))
        return self._kept[1:]


class DomainAttention(ABC):
    """A choice of self-attention, installed into a U-Net as diffusers attention processors."""

    @abstractmethod
    def install(self, unet: UNet2DConditionModel) -> None:
        """Set the processors of `unet`."""


@dataclass(frozen=True)
class CrossDomainAttention(DomainAttention):
    """Cross-domain attention in every self-attention of the U-Net: the paper's choice."""

    def install(self, unet: UNet2DConditionModel) -> None:
        """Put `CrossDomainAttnProcessor` on every `attn1`."""
        _install(unet, cross_domain=_self_attentions(unet))


@dataclass(frozen=True)
class LowResolutionCrossDomainAttention(DomainAttention):
    """Cross-domain attention in the middle block and the lowest resolutions alone, where tokens are few.

    Attributes:
        levels: How many of the U-Net's lowest resolutions that attend at all, beside the middle block's.
    """

    levels: int = 1

    def __post_init__(self) -> None:
        """Refuse a negative number of levels."""
        if self.levels < 0:
            raise InputError(f"attention.levels: expected 0 (the middle block alone) or more, got {self.levels}")

    def install(self, unet: UNet2DConditionModel) -> None:
        """Put `CrossDomainAttnProcessor` on those `attn1`."""
        depth_of = {name: _depth(name, unet) for name in _self_attentions(unet)}
        middle = len(unet.config["block_out_channels"])
        depths = sorted(set(depth_of.values()) - {middle})
        chosen = {middle, *depths[len(depths) - min(self.levels, len(depths)) :]}
        _install(unet, cross_domain=[name for name, depth in depth_of.items() if depth in chosen])


@dataclass(frozen=True)
class IndependentAttention(DomainAttention):
    """Each domain attends to itself alone: the ablation without cross-domain attention."""

    def install(self, unet: UNet2DConditionModel) -> None:
        """Put diffusers' own processor everywhere."""
        _install(unet, cross_domain=[])


def require_independent(attention: DomainAttention, way: object, reason: str) -> None:
    """Refuse cross-domain attention where the domains are not two halves of a batch.

    Raises:
        InputError: the attention is another than `IndependentAttention`.
    """
    if not isinstance(attention, IndependentAttention):
        raise InputError(
            f"{type(attention).__name__} with {type(way).__name__}: {reason}; set attention to IndependentAttention"
        )


def _install(unet: UNet2DConditionModel, *, cross_domain: Collection[str]) -> None:
    processors: dict[str, Any] = {
        name: CrossDomainAttnProcessor()
        if name in cross_domain
        else AttnProcessor2_0()
        if name in _self_attentions(unet)
        else PromptAttnProcessor()
        for name in unet.attn_processors
    }
    unet.set_attn_processor(processors)


def _self_attentions(unet: UNet2DConditionModel) -> list[str]:
    return [name for name in unet.attn_processors if name.endswith("attn1.processor")]


def _depth(processor: str, unet: UNet2DConditionModel) -> int:
    """Level of an attention layer, 0 at full size; the middle block counts as one below the lowest."""
    levels = len(unet.config["block_out_channels"])
    block, place = processor.split(".")[:2]
    if block == "mid_block":
        return levels
    return int(place) if block == "down_blocks" else levels - 1 - int(place)
