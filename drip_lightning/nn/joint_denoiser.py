"""What joint-domain denoisers share, whatever tells their domains apart, and how a pretrained U-Net is widened."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from drip_lightning.nn.attention import DomainAttention
from drip_lightning.ops.domains import split_domains, stack_domains

InputLatents = Literal["own", "both"]
"""Which noisy latents each domain's pass sees beside the condition."""

INPUT_COPIES: dict[InputLatents, int] = {"own": 3, "both": 4}
"""Latents concatenated as the U-Net's input, which is also how many copies of the pretrained kernel `conv_in` gets:
`[z_t^i, z^X, z^Tri]` or, the paper's other reading, `[z_t^F, z_t^α, z^X, z^Tri]`."""


class JointDenoiser(ABC, nn.Module):
    """Predicts both domains' noise (or velocity, or clean latents) at once.

    Args:
        prompt_embedding: (1, tokens, C) embedding of the empty prompt, stored with the weights.
    """

    prompt_embedding: Tensor
    new_layers: tuple[str, ...] = ("conv_in",)
    """Layers of its U-Nets that the pretrained ones lack or that changed their shape: never frozen."""

    def __init__(self, prompt_embedding: Tensor) -> None:
        super().__init__()
        self.register_buffer("prompt_embedding", prompt_embedding.detach().clone())

    @property
    @abstractmethod
    def unets(self) -> tuple[UNet2DConditionModel, ...]:
        """The U-Nets inside."""

    @abstractmethod
    def forward(self, noisy: Tensor, condition: Tensor, timestep: Tensor) -> Tensor:
        """Predict for both domains at once.

        Args:
            noisy: (2B, C, h, w) noisy latents, domains stacked.
            condition: (B, 2C, h, w) latents of image and trimap.
            timestep: (B,) timesteps in [0, T), shared by the two halves of a pair.

        Returns:
            (2B, C, h, w) in the schedule's prediction type, domains stacked.
        """

    @property
    def size_multiple(self) -> int:
        """Latent height and width must be divisible by this."""
        return 2 ** (len(self.unets[0].config["block_out_channels"]) - 1)

    def run(self, unet: UNet2DConditionModel, latents: Tensor, timestep: Tensor, **labels: Tensor) -> Tensor:
        """Run one of the U-Nets on (N, …) latents at (N,) timesteps under the empty prompt."""
        latents = latents.contiguous(memory_format=torch.channels_last)
        # the prompt is that of one sample: see `PromptAttnProcessor`
        return unet(latents, timestep, encoder_hidden_states=self.prompt_embedding, **labels).sample


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


def denoiser_input(noisy: Tensor, condition: Tensor, input_latents: InputLatents) -> Tensor:
    """What each domain's pass sees: (2B, 3C, h, w) of its `own` noisy latent, or (2B, 4C, h, w) of `both`.

    Args:
        noisy: (2B, C, h, w), domains stacked.
        condition: (B, 2C, h, w).
        input_latents: Which of the noisy latents.
    """
    if input_latents == "both":
        both = torch.cat(split_domains(noisy), dim=1)
        noisy = stack_domains(both, both)
    return torch.cat([noisy, stack_domains(condition, condition)], dim=1)


def widen(
    unet: UNet2DConditionModel, *, inputs: int, outputs: int = 1, changes: Mapping[str, Any] | None = None
) -> UNet2DConditionModel:
    """Copy `unet` into one with several latents as input and output (DRIP Sec. 3.2.1), its convolutions channels-last.

    Args:
        unet: Latent U-Net.
        inputs: Latents in the new input; `conv_in`'s kernel is copied this often and divided by it.
        outputs: Latents in the new output; `conv_out` is copied this often.
        changes: More changes of the configuration; they may add a class embedding, which is left as it is made.

    Raises:
        ValueError: if the U-Net is not a plain latent one (as many input as output channels, no class embedding).
    """
    channels = unet.config["in_channels"]
    if channels != unet.config["out_channels"] or unet.config["class_embed_type"] is not None:
        raise ValueError(
            f"expected a U-Net with equal input and output channels and no class embedding, got {channels} in, "
            f"{unet.config['out_channels']} out, class_embed_type={unet.config['class_embed_type']!r}"
        )
    # diffusers' private entries must go: `_use_default_values` would undo the changes
    config = {name: value for name, value in unet.config.items() if not name.startswith("_")}
    config |= {"in_channels": inputs * channels, "out_channels": outputs * channels, **(changes or {})}
    wide = UNet2DConditionModel.from_config(config)
    weights = unet.state_dict()
    weights["conv_in.weight"] = weights["conv_in.weight"].repeat(1, inputs, 1, 1) / inputs
    weights["conv_out.weight"] = weights["conv_out.weight"].repeat(outputs, 1, 1, 1)
    weights["conv_out.bias"] = weights["conv_out.bias"].repeat(outputs)
    missing, unexpected = wide.load_state_dict(weights, strict=False)
    assert not unexpected, unexpected
    assert all(name.startswith("class_embedding.") for name in missing), missing
    return nn.Module.to(wide, memory_format=torch.channels_last)  # type: ignore[call-overload]
