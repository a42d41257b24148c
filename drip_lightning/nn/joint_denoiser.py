"""What joint-domain denoisers share, whatever tells their domains apart, and how a pretrained U-Net is widened."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from drip_lightning.nn.attention import CrossDomainAttnProcessor, DomainAttention
from drip_lightning.nn.described import choice_of
from drip_lightning.ops.domains import split_domains, stack_domains

InputLatents = Literal["own", "both"]
"""Which noisy latents each domain's pass sees beside the condition."""

INPUT_COPIES: dict[InputLatents, int] = {"own": 3, "both": 4}
"""Latents concatenated as the U-Net's input, which is also how many copies of the pretrained kernel `conv_in` gets:
`[z_t^i, z^X, z^Tri]` or, the paper's other reading, `[z_t^F, z_t^α, z^X, z^Tri]`."""

MID_BLOCK = "UNetMidBlock2DCrossAttn"
"""Of Stable Diffusion 1 and 2."""
CROSS_DOMAIN_MID_BLOCK = "UNetMidBlock2DCrossDomainAttn"
"""What a configuration says instead where attention spans both domains (DRIP Eq. 4). A plain `UNet2DConditionModel`,
which would take the weights and attend within each domain alone, knows no such block and says so."""
_OWN = ("latent_channels", "prompt_shape", "switcher", "attention")
"""What a joint denoiser's configuration holds beside its U-Net's."""


class JointDenoiser(ABC, ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Predicts both domains' noise (or velocity, or clean latents) at once.

    A model of diffusers: once it is told what it was made by (`describe`), it is saved and loaded as any.

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

    def describe(self, *, latent_channels: int, switcher: Mapping[str, Any], attention: Mapping[str, Any]) -> None:
        """Note in `config` what it takes to make the same again.

        Args:
            latent_channels: Of one latent.
            switcher: What made it, as `choice_of` takes it.
            attention: How self-attention treats the two domains, in the same way.
        """
        unet = self.unets[0]
        crosses = any(isinstance(one, CrossDomainAttnProcessor) for one in unet.attn_processors.values())
        config = {name: value for name, value in unet.config.items() if not name.startswith("_")}
        self.register_to_config(
            **config | ({"mid_block_type": CROSS_DOMAIN_MID_BLOCK} if crosses else {}),
            latent_channels=latent_channels,
            prompt_shape=list(self.prompt_embedding.shape),
            switcher=dict(switcher),
            attention=dict(attention),
        )

    @classmethod
    def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """Make one from what `describe` noted, with random weights, as diffusers' `from_pretrained` asks."""
        unet = UNet2DConditionModel.from_config(narrow_config(config, config["latent_channels"]))
        attention = choice_of(config["attention"], DomainAttention)
        prompt_embedding = torch.zeros(config["prompt_shape"])
        made = choice_of(config["switcher"], Switcher).build(unet, prompt_embedding, attention=attention)
        made.register_to_config(**{name: value for name, value in config.items() if not name.startswith("_")})
        return (made, kwargs) if return_unused_kwargs else made

    @property
    def size_multiple(self) -> int:
        """Latent height and width must be divisible by this."""
        return 2 ** (len(self.unets[0].config["block_out_channels"]) - 1)

    def run(self, unet: UNet2DConditionModel, latents: Tensor, timestep: Tensor, **labels: Tensor) -> Tensor:
        """Run one of the U-Nets on (N, …) latents at (N,) timesteps under the empty prompt."""
        dtype = unet.conv_in.weight.dtype
        latents = latents.to(dtype).contiguous(memory_format=torch.channels_last)
        # the prompt is that of one sample: see `PromptAttnProcessor`
        labels = {name: label.to(dtype) for name, label in labels.items()}
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


def narrow_config(config: Mapping[str, Any], latent_channels: int) -> dict[str, Any]:
    """The configuration of the U-Net that a joint denoiser was widened from, without diffusers' private entries.

    Args:
        config: The joint denoiser's, or that of its widened U-Net.
        latent_channels: Of one latent.
    """
    own = {name: value for name, value in config.items() if name not in _OWN and not name.startswith("_")}
    unwidened = {"class_embed_type": None, "projection_class_embeddings_input_dim": None, "mid_block_type": MID_BLOCK}
    return own | unwidened | {"in_channels": latent_channels, "out_channels": latent_channels}


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

    One on the meta device gives one there.

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
    with unet.device:  # `meta` where weights come later
        wide = UNet2DConditionModel.from_config(config)
    weights = unet.state_dict()
    weights["conv_in.weight"] = weights["conv_in.weight"].repeat(1, inputs, 1, 1) / inputs
    weights["conv_out.weight"] = weights["conv_out.weight"].repeat(outputs, 1, 1, 1)
    weights["conv_out.bias"] = weights["conv_out.bias"].repeat(outputs)
    missing, unexpected = wide.load_state_dict(weights, strict=False)
    assert not unexpected, unexpected
    assert all(name.startswith("class_embedding.") for name in missing), missing
    return nn.Module.to(wide, memory_format=torch.channels_last)  # type: ignore[call-overload]
