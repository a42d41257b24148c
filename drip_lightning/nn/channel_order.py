"""Without the switcher: the domains are told apart by the order of channels alone (DRIP Table 3)."""

from dataclasses import dataclass

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from drip_lightning.nn.attention import DomainAttention, require_independent
from drip_lightning.nn.joint_denoiser import JointDenoiser, Switcher, widen
from drip_lightning.ops.domains import split_domains, stack_domains


class ChannelOrderModule(JointDenoiser):
    """One pass over `[z_t^F, z_t^α, z^X, z^Tri]` that answers `[F, α]`.

    `conv_in`'s kernel is copied four times and divided by 4, `conv_out` twice: fed `(z, z, z, z)`, both answers equal
    the pretrained U-Net's for `z`.

    Args:
        unet: Latent U-Net with as many input as output channels; its weights are copied.
        prompt_embedding: (1, tokens, C) embedding of the empty prompt, stored with the weights.
        attention: How self-attention runs; the domains share one feature map, so it cannot be cross-domain.
    """

    new_layers = ("conv_in", "conv_out")

    def __init__(self, unet: UNet2DConditionModel, prompt_embedding: Tensor, *, attention: DomainAttention) -> None:
        super().__init__(prompt_embedding)
        self.unet = widen(unet, inputs=4, outputs=2)
        attention.install(self.unet)

    @property
    def unets(self) -> tuple[UNet2DConditionModel, ...]:
        """The one U-Net."""
        return (self.unet,)

    def forward(self, noisy: Tensor, condition: Tensor, timestep: Tensor) -> Tensor:
        """See `JointDenoiser.forward`."""
        latents = torch.cat([*split_domains(noisy), condition], dim=1)
        foreground, alpha = self.run(self.unet, latents, timestep).chunk(2, dim=1)
        return stack_domains(foreground, alpha)


@dataclass(frozen=True)
class ChannelOrder(Switcher):
    """No switcher: one pass, four latents in and two out, told apart by their order."""

    def build(
        self, unet: UNet2DConditionModel, prompt_embedding: Tensor, *, attention: DomainAttention
    ) -> ChannelOrderModule:
        """One U-Net with 16 input and 8 output channels."""
        require_independent(attention, self, "the domains share one feature map, whose self-attention sees both")
        return ChannelOrderModule(unet, prompt_embedding, attention=attention)
