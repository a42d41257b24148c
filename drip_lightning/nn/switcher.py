"""The joint denoiser of the paper: one U-Net for both domains, told apart by the switcher (DRIP Sec. 3.2.1, Eq. 3)."""

from dataclasses import dataclass

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from drip_lightning.nn.attention import DomainAttention
from drip_lightning.nn.joint_denoiser import INPUT_COPIES, InputLatents, JointDenoiser, Switcher, denoiser_input, widen
from drip_lightning.nn.zero import set_to_zero
from drip_lightning.ops.domains import stack_domains


def positional_encoding(position: Tensor, frequencies: int) -> Tensor:
    """Encode positions (B,) as `[sin 2^k s, cos 2^k s]` for k = 0 … L-1, giving (B, 2L) in [-1, 1] (DRIP Eq. 3)."""
    angles = position[:, None] * 2.0 ** torch.arange(frequencies, device=position.device)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


class PosEncSwitcherModule(JointDenoiser):
    """A pretrained latent U-Net widened to the input `[z_t^i, z^X, z^Tri]`, serving both domains as one batch.

    `conv_in`'s kernel is copied three times and divided by 3, so that activations keep their scale; the switcher
    starts at zero. Fed `(z, z, z)`, the new U-Net therefore equals the pretrained one fed `z`.

    Args:
        unet: Latent U-Net with as many input as output channels; its weights are copied.
        prompt_embedding: (1, tokens, C) embedding of the empty prompt, stored with the weights.
        switcher: How the halves of the batch are told apart, and what each of them sees.
        attention: How self-attention treats the two domains.
    """

    new_layers = ("conv_in", "class_embedding")

    def __init__(
        self,
        unet: UNet2DConditionModel,
        prompt_embedding: Tensor,
        *,
        switcher: "PosEncSwitcher",
        attention: DomainAttention,
    ) -> None:
        super().__init__(prompt_embedding)
        self.switcher = switcher
        self.unet = widen(unet, inputs=INPUT_COPIES[switcher.input_latents], changes=switcher.unet_config())
        switcher.initialise(self.unet.class_embedding)
        attention.install(self.unet)

    @property
    def unets(self) -> tuple[UNet2DConditionModel, ...]:
        """The one U-Net."""
        return (self.unet,)

    def forward(self, noisy: Tensor, condition: Tensor, timestep: Tensor) -> Tensor:
        """See `JointDenoiser.forward`."""
        return self.run(
            self.unet,
            denoiser_input(noisy, condition, self.switcher.input_latents),
            stack_domains(timestep, timestep),
            class_labels=self.switcher.labels(len(timestep), noisy.device),
        )


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

    def build(
        self, unet: UNet2DConditionModel, prompt_embedding: Tensor, *, attention: DomainAttention
    ) -> PosEncSwitcherModule:
        """One U-Net for both domains as two halves of a batch."""
        return PosEncSwitcherModule(unet, prompt_embedding, switcher=self, attention=attention)

    def unet_config(self) -> dict[str, object]:
        """What the switcher changes in a `UNet2DConditionModel`'s configuration."""
        return {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 2 * self.frequencies}

    def initialise(self, class_embedding: nn.Module) -> None:
        """Zero the projection's last layer."""
        set_to_zero(class_embedding.get_submodule("linear_2"))

    def labels(self, pairs: int, device: torch.device) -> Tensor:
        """Codes of a stacked batch of `pairs` foregrounds and `pairs` alphas: (2 * pairs, 2L)."""
        positions = stack_domains(torch.ones(pairs, device=device), torch.zeros(pairs, device=device))
        return positional_encoding(positions, self.frequencies)
