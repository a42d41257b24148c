"""The joint-domain denoiser: one Stable Diffusion U-Net for foreground and alpha (DRIP Sec. 3.2)."""

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from drip_lightning.nn.attention import CrossDomainAttention, DomainAttention
from drip_lightning.nn.switcher import PosEncSwitcher
from drip_lightning.ops.domains import stack_domains

INPUT_COPIES = 3
"""The U-Net's input is `[z_t, z_image, z_trimap]`: its first kernel is copied this often."""


class JointUNet(nn.Module):
    """A pretrained latent U-Net widened to the input `[z_t^i, z^X, z^Tri]`, serving both domains as one batch.

    `conv_in`'s kernel is copied three times and divided by 3, so that activations keep their scale; the switcher
    starts at zero. Fed `(z, z, z)`, the new U-Net therefore equals the pretrained one fed `z`.

    Args:
        unet: Latent U-Net with as many input as output channels; its weights are copied.
        prompt_embedding: (1, tokens, C) embedding of the empty prompt, stored with the weights.
        switcher: How the halves of the batch are told apart.
        attention: How self-attention treats the two domains.
    """

    prompt_embedding: Tensor

    def __init__(
        self,
        unet: UNet2DConditionModel,
        prompt_embedding: Tensor,
        *,
        switcher: PosEncSwitcher | None = None,
        attention: DomainAttention | None = None,
    ) -> None:
        super().__init__()
        self.switcher = switcher or PosEncSwitcher()
        self.unet = widen(unet, self.switcher)
        (attention or CrossDomainAttention()).install(self.unet)
        self.register_buffer("prompt_embedding", prompt_embedding.detach().clone())

    def forward(self, noisy: Tensor, condition: Tensor, timestep: Tensor) -> Tensor:
        """Predict for both domains at once.

        Args:
            noisy: (2B, C, h, w) noisy latents, domains stacked.
            condition: (B, 2C, h, w) latents of image and trimap.
            timestep: (B,) timesteps in [0, T), shared by the two halves of a pair.

        Returns:
            (2B, C, h, w) in the schedule's prediction type, domains stacked.
        """
        pairs = condition.shape[0]
        return self.unet(
            torch.cat([noisy, stack_domains(condition, condition)], dim=1),
            stack_domains(timestep, timestep),
            encoder_hidden_states=self.prompt_embedding.to(noisy.dtype).expand(2 * pairs, -1, -1),
            class_labels=self.switcher.labels(pairs, noisy.device),
        ).sample

    @property
    def size_multiple(self) -> int:
        """Latent height and width must be divisible by this."""
        return 2 ** (len(self.unet.config["block_out_channels"]) - 1)


def widen(unet: UNet2DConditionModel, switcher: PosEncSwitcher) -> UNet2DConditionModel:
    """Copy `unet` into one with three times its input channels and the switcher's projection (DRIP Sec. 3.2.1).

    Raises:
        ValueError: if the U-Net is not a plain latent one (as many input as output channels, no class embedding).
    """
    channels = unet.config["in_channels"]
    if channels != unet.config["out_channels"] or unet.config["class_embed_type"] is not None:
        raise ValueError(
            f"expected a U-Net with equal input and output channels and no class embedding, got {channels} in, "
            f"{unet.config['out_channels']} out, class_embed_type={unet.config['class_embed_type']!r}"
        )
    changes = {"in_channels": INPUT_COPIES * channels} | switcher.unet_config()
    # diffusers' private entries must go: `_use_default_values` would undo the changes
    config = {name: value for name, value in unet.config.items() if not name.startswith("_")} | changes
    wide = UNet2DConditionModel.from_config(config)
    weights = unet.state_dict()
    weights["conv_in.weight"] = weights["conv_in.weight"].repeat(1, INPUT_COPIES, 1, 1) / INPUT_COPIES
    missing, unexpected = wide.load_state_dict(weights, strict=False)
    assert not unexpected, unexpected
    assert all(name.startswith("class_embedding.") for name in missing), missing
    switcher.initialise(wide.class_embedding)
    return wide
