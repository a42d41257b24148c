"""Two separate U-Nets, one a domain: twice the parameters, and nothing shared (what DRIP Sec. 3.2.1 argues against)."""

from dataclasses import dataclass

from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from drip_lightning.nn.attention import DomainAttention, require_independent
from drip_lightning.nn.joint_denoiser import INPUT_COPIES, InputLatents, JointDenoiser, Switcher, denoiser_input, widen
from drip_lightning.ops.domains import split_domains, stack_domains


class TwoUNetsModule(JointDenoiser):
    """A foreground U-Net and an alpha U-Net, both starting as the pretrained one.

    Args:
        unet: Latent U-Net with as many input as output channels; its weights are copied twice.
        prompt_embedding: (1, tokens, C) embedding of the empty prompt, stored with the weights.
        input_latents: Whether a U-Net sees its `own` noisy latent or `both`.
        attention: How self-attention runs; features never meet, so it cannot be cross-domain.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        prompt_embedding: Tensor,
        *,
        input_latents: InputLatents,
        attention: DomainAttention,
    ) -> None:
        super().__init__(prompt_embedding)
        self.input_latents = input_latents
        self.foreground_unet = widen(unet, inputs=INPUT_COPIES[input_latents])
        self.alpha_unet = widen(unet, inputs=INPUT_COPIES[input_latents])
        for one in self.unets:
            attention.install(one)

    @property
    def unets(self) -> tuple[UNet2DConditionModel, ...]:
        """The foreground's, then the alpha's."""
        return (self.foreground_unet, self.alpha_unet)

    def forward(self, noisy: Tensor, condition: Tensor, timestep: Tensor) -> Tensor:
        """See `JointDenoiser.forward`."""
        inputs = split_domains(denoiser_input(noisy, condition, self.input_latents))
        return stack_domains(*(self.run(unet, own, timestep) for unet, own in zip(self.unets, inputs, strict=True)))


@dataclass(frozen=True)
class TwoUNets(Switcher):
    """Two U-Nets, one a domain; with `input_latents: both` they at least see each other's noisy latent.

    Attributes:
        input_latents: Whether a U-Net sees its `own` noisy latent (12 channels) or `both` (16 channels).
    """

    input_latents: InputLatents = "own"

    def build(
        self, unet: UNet2DConditionModel, prompt_embedding: Tensor, *, attention: DomainAttention
    ) -> TwoUNetsModule:
        """Two copies of the pretrained U-Net."""
        require_independent(attention, self, "the features of two U-Nets never meet")
        return TwoUNetsModule(unet, prompt_embedding, input_latents=self.input_latents, attention=attention)
