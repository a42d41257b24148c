"""The joint-domain denoiser (DRIP Sec. 3.2): what a plain U-Net of diffusers is not.

Taken from the source of drip_lightning 0.1.0 (Apache-2.0), so that it works with diffusers and torch alone; changes
belong there.
"""

from abc import ABC
from abc import abstractmethod
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.attention_processor import Attention
from diffusers.models.attention_processor import AttnProcessor2_0
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from importlib import import_module
from torch import Tensor
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from typing import Any
from typing import Literal
from typing import get_type_hints
import torch


# drip_lightning.errors

class DripError(Exception):
    """Base of what `drip` tells in one line, without a traceback; any other exception is a defect and keeps its own."""

class InputError(DripError, ValueError):
    """What the user gave cannot be used; the message is one line that says what was found and what to do.

    Raise it for a missing folder, a wrong file or an impossible setting.
    """


# drip_lightning.nn.described

def choice_of(description: Mapping[str, Any], base: type) -> Any:
    """Make a choice from `{class_path, init_args}`, as exported folders hold it.

    Args:
        description: One of the project's own by its class's name, any other by its dotted path; its arguments may be
            described in the same way.
        base: Of which its class is, or is below.

    Raises:
        InputError: there is no such class below `base`, or it takes other arguments.
    """
    name, arguments = str(description.get("class_path")), description.get("init_args", {})
    module, _, last = name.rpartition(".")
    try:
        if module:
            import_module(module)
        kind = next(one for one in _and_below(base) if one.__name__ == last and module in ("", one.__module__))
        described = {key: value for key, value in arguments.items() if _is_description(value)}
        types = get_type_hints(kind) if described else {}
        return kind(**{**arguments, **{key: choice_of(value, types[key]) for key, value in described.items()}})
    except (ImportError, StopIteration, TypeError, KeyError) as error:
        reason = str(error) or f"no such {base.__name__} is known"
        raise InputError(f"cannot make {name} as it is described: {reason}") from error

def _is_description(value: Any) -> bool:
    return isinstance(value, Mapping) and "class_path" in value

def _and_below(kind: type) -> Iterator[type]:
    yield kind
    own: list[type] = kind.__subclasses__()
    for one in own:
        yield from _and_below(one)


# drip_lightning.ops.domains

def stack_domains(foreground: Tensor, alpha: Tensor) -> Tensor:
    """Stack two equal batches on the batch axis: (B, …) and (B, …) become (2B, …), foreground first."""
    if foreground.shape != alpha.shape:
        raise ValueError(f"domains differ in shape: foreground {tuple(foreground.shape)}, alpha {tuple(alpha.shape)}")
    return torch.cat([foreground, alpha])

def split_domains(stacked: Tensor) -> tuple[Tensor, Tensor]:
    """Undo `stack_domains`: (2B, …) becomes (foreground, alpha), each (B, …)."""
    if stacked.shape[0] % 2:
        raise ValueError(f"stacked domains: expected an even batch, got {tuple(stacked.shape)}")
    foreground, alpha = stacked.chunk(2)
    return foreground, alpha

def join_tokens(stacked: Tensor) -> Tensor:
    """Concatenate a pair's tokens: (2B, N, C) becomes (B, 2N, C), `'(d b) n c -> b (d n) c'`."""
    return torch.cat(split_domains(stacked), dim=1)

def split_tokens(joined: Tensor) -> Tensor:
    """Undo `join_tokens`: (B, 2N, C) becomes (2B, N, C)."""
    if joined.shape[1] % 2:
        raise ValueError(f"joined tokens: expected an even number, got {tuple(joined.shape)}")
    return torch.cat(joined.chunk(2, dim=1))


# drip_lightning.nn.attention

class CrossDomainAttnProcessor(AttnProcessor2_0):
    """Each domain's queries attend to the keys and values of both domains (DRIP Eq. 4).

    Keys and values are the same for both domains, so Eq. 4 equals ordinary self-attention over the pair's 2N tokens:
    one fused `scaled_dot_product_attention`, nothing duplicated.
    """

    def __call__(self, attn: Attention, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Attend over (2B, N, C) stacked domains; returns the same shape."""
        return split_tokens(super().__call__(attn, join_tokens(hidden_states), *args, **kwargs))

class PromptAttnProcessor:
    """Text cross-attention to the one prompt that all samples share.

    Keys and values are cached while `to_k` and `to_v` are frozen and unchanged; never under `torch.compile`, nor of
    tensors without content.
    """

    def __init__(self) -> None:
        self._kept: tuple[Any, Tensor, Tensor] | None = None

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Attend from (N, tokens, C) to the prompt's (1, tokens, C'); returns the shape of `hidden_states`."""
        query = attn.to_q(hidden_states)
        key, value = self._keys_and_values(attn, encoder_hidden_states, hidden_states.dtype)
        query, key, value = (
            one.expand(len(query), -1, -1).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for one in (query, key, value)
        )
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        return attn.to_out[1](attn.to_out[0](attended.transpose(1, 2).flatten(2)))

    def _keys_and_values(self, attn: Attention, prompt: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        weights = [*attn.to_k.parameters(), *attn.to_v.parameters()]
        has_content = not (torch.compiler.is_compiling() or isinstance(prompt, FakeTensor))
        if not has_content or any(weight.requires_grad for weight in weights):
            return attn.to_k(prompt.to(dtype)), attn.to_v(prompt.to(dtype))
        device = prompt.device.type
        precision = dtype, torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
        made_from = precision, [(one.data_ptr(), one._version) for one in (prompt, *weights)]
        if self._kept is None or self._kept[0] != made_from:
            with torch.inference_mode(False), torch.no_grad():  # a validation's keys must be fit for training, too
                self._kept = made_from, attn.to_k(prompt.to(dtype)), attn.to_v(prompt.to(dtype))
        return self._kept[1:]

class DomainAttention(ABC):
    """A choice of self-attention, installed into a U-Net as diffusers attention processors."""

    @abstractmethod
    def install(self, unet: UNet2DConditionModel) -> None:
        """Set the processors of `unet`."""

@dataclass(frozen=True)
class CrossDomainAttention(DomainAttention):
    """Cross-domain attention in every self-attention of the U-Net: the paper's choice."""

    def install(self, unet: UNet2DConditionModel) -> None:
        """Put `CrossDomainAttnProcessor` on every `attn1`."""
        _install(unet, cross_domain=_self_attentions(unet))

def _install(unet: UNet2DConditionModel, *, cross_domain: Collection[str]) -> None:
    processors: dict[str, Any] = {
        name: CrossDomainAttnProcessor()
        if name in cross_domain
        else AttnProcessor2_0()
        if name in _self_attentions(unet)
        else PromptAttnProcessor()
        for name in unet.attn_processors
    }
    unet.set_attn_processor(processors)

def _self_attentions(unet: UNet2DConditionModel) -> list[str]:
    return [name for name in unet.attn_processors if name.endswith("attn1.processor")]


# drip_lightning.nn.joint_denoiser

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


# drip_lightning.nn.zero

def set_to_zero(layer: nn.Module) -> None:
    """Set every parameter of a layer to zero, in place."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


# drip_lightning.nn.switcher

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