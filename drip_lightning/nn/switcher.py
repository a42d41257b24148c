"""The switcher tells the joint U-Net which domain each half of its batch is (DRIP Sec. 3.2.1, Eq. 3)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from drip_lightning.ops.domains import stack_domains


def positional_encoding(position: Tensor, frequencies: int) -> Tensor:
    """Encode positions (B,) as `[sin 2^k s, cos 2^k s]` for k = 0 … L-1, giving (B, 2L) in [-1, 1] (DRIP Eq. 3)."""
    angles = position[:, None] * 2.0 ** torch.arange(frequencies, device=position.device)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


@dataclass(frozen=True)
class PosEncSwitcher:
    """`s_F = PosEnc(1)`, `s_alpha = PosEnc(0)`, projected and added to the time embedding.

    The projection is diffusers' `class_embed_type="projection"`; its last layer starts at zero, so that the widened
    U-Net starts as the pretrained one and both domains start equal.

    Attributes:
        frequencies: L of Eq. 3. The paper leaves it open.
    """

    frequencies: int = 2

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
