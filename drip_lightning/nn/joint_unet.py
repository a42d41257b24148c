"""The joint-domain denoiser: one Stable Diffusion U-Net for foreground and alpha (DRIP Sec. 3.2)."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from drip_lightning.nn.attention import DomainAttention
from drip_lightning.ops.domains import split_domains, stack_domains

if TYPE_CHECKING:
    from drip_lightning.nn.switcher import PosEncSwitcher

InputLatents = Literal["own", "both"]
"""Which noisy latents each domain's pass sees beside the condition."""

INPUT_COPIES: dict[InputLatents, int] = {"own": 3, "both": 4}
"""Latents in the U-Net's input, as often as its first kernel is copied: `[z_t^i, z^X, z^Tri]`, or, the paper's other
reading, `[z_t^F, z_t^α, z^X, z^Tri]`."""


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


class JointUNet(JointDenoiser):
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
