"""How the joint denoiser is told which domain is which: the switcher (DRIP Sec. 3.2.1, Eq. 3), and its alternatives."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from drip_lightning.nn.attention import DomainAttention
from drip_lightning.nn.joint_unet import InputLatents, JointDenoiser, JointUNet
from drip_lightning.ops.domains import stack_domains


def positional_encoding(position: Tensor, frequencies: int) -> Tensor:
    """Encode positions (B,) as `[sin 2^k s, cos 2^k s]` for k = 0 … L-1, giving (B, 2L) in [-1, 1] (DRIP Eq. 3)."""
    angles = position[:, None] * 2.0 ** torch.arange(frequencies, device=position.device)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


class Switcher(ABC):
    """A way of telling the two domains apart; it decides how the pretrained U-Net becomes the joint denoiser."""

    @abstractmethod
    def build(
        self, unet: UNet2DConditionModel, prompt_embedding: Tensor, *, attention: DomainAttention
    ) -> JointDenoiser:
        """Make the joint denoiser from a pretrained U-Net, whose weights are copied.

        Args:
            unet: Latent U-Net with as many input as output channels.
            prompt_embedding: (1, tokens, C) embedding of the empty prompt.
            attention: How self-attention treats the two domains.

        Raises:
            InputError: the attention does not go with this way.
        """


@dataclass(frozen=True)
class PosEncSwitcher(Switcher):
    """`s_F = PosEnc(1)`, `s_alpha = PosEnc(0)`, projected and added to the time embedding: the paper's choice.

    The projection is diffusers' `class_embed_type="projection"`; its last layer starts at zero, so that the widened
    U-Net starts as the pretrained one and both domains start equal.

    Attributes:
        frequencies: L of Eq. 3. The paper leaves it open.
        input_latents: Whether a domain's pass sees its `own` noisy latent (12 channels) or `both` (16 channels).
    """

    frequencies: int = 2
    input_latents: InputLatents = "own"

    def build(self, unet: UNet2DConditionModel, prompt_embedding: Tensor, *, attention: DomainAttention) -> JointUNet:
        """One U-Net for both domains as two halves of a batch."""
        return JointUNet(unet, prompt_embedding, switcher=self, attention=attention)

    def unet_config(self) -> dict[str, object]:
        """What the switcher changes in a `UNet2DConditionModel`'s configuration."""
        return {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 2 * self.frequencies}

    def initialise(self, class_embedding: nn.Module) -> None:
        """Zero the projection's last layer."""
        last_layer = class_embedding.get_submodule("linear_2")
        for parameter in last_layer.parameters():
            nn.init.zeros_(parameter)

    def labels(self, pairs: int, device: torch.device) -> Tensor:
        """Codes of a stacked batch of `pairs` foregrounds and `pairs` alphas: (2 * pairs, 2L)."""
        positions = stack_domains(torch.ones(pairs, device=device), torch.zeros(pairs, device=device))
        return positional_encoding(positions, self.frequencies)
