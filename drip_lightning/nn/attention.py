"""How the U-Net's self-attention treats the two stacked domains (DRIP Sec. 3.2.2, Eq. 4)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from drip_lightning.ops.domains import join_tokens, split_tokens


class CrossDomainAttnProcessor(AttnProcessor2_0):
    """Each domain's queries attend to the keys and values of both domains (DRIP Eq. 4).

    Keys and values are the same for both domains, so Eq. 4 equals ordinary self-attention over the pair's 2N tokens:
    one fused `scaled_dot_product_attention`, nothing duplicated.
    """

    def __call__(self, attn: Attention, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Attend over (2B, N, C) stacked domains; returns the same shape."""
        return split_tokens(super().__call__(attn, join_tokens(hidden_states), *args, **kwargs))


class DomainAttention(ABC):
    """A choice of self-attention, installed into a U-Net as diffusers attention processors."""

    @abstractmethod
    def install(self, unet: UNet2DConditionModel) -> None:
        """Set the processors of `unet`; its text cross-attention (`attn2`) stays as it is."""


@dataclass(frozen=True)
class CrossDomainAttention(DomainAttention):
    """Cross-domain attention in every self-attention of the U-Net: the paper's choice."""

    def install(self, unet: UNet2DConditionModel) -> None:
        """Put `CrossDomainAttnProcessor` on every `attn1`."""
        processors: dict[str, Any] = {
            name: CrossDomainAttnProcessor() if name.endswith("attn1.processor") else AttnProcessor2_0()
            for name in unet.attn_processors
        }
        unet.set_attn_processor(processors)


@dataclass(frozen=True)
class IndependentAttention(DomainAttention):
    """Each domain attends to itself alone: the ablation without cross-domain attention."""

    def install(self, unet: UNet2DConditionModel) -> None:
        """Put diffusers' own processor everywhere."""
        unet.set_attn_processor(AttnProcessor2_0())
