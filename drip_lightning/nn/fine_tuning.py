"""Which of the joint denoiser's weights are trained: all, a low-rank addition, or the attention layers."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass

from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from drip_lightning.errors import InputError
from drip_lightning.nn.joint_denoiser import JointDenoiser

_PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
"""An attention layer's linear maps, as diffusers names them."""


class FineTuning(ABC):
    """A choice of trained weights, made once the joint denoiser is built.

    Layers that the pretrained U-Net lacks or that changed their shape are always trained.
    """

    keeps_pretrained: bool = True
    """Whether some pretrained weights stay as they are, so that a checkpoint needs them beside it."""

    @abstractmethod
    def apply(self, joint_unet: JointDenoiser) -> None:
        """Freeze what is not trained, and add what is added.

        Raises:
            InputError: a package is missing.
        """

    def merge(self, joint_unet: JointDenoiser) -> None:  # noqa: B027 (most add nothing)
        """Take what `apply` added into the weights, so that plain U-Nets are left."""


@dataclass(frozen=True)
class AllWeights(FineTuning):
    """Train everything: the paper's choice."""

    keeps_pretrained = False

    def apply(self, joint_unet: JointDenoiser) -> None:
        """Leave every weight trainable."""


@dataclass(frozen=True)
class AttentionOnly(FineTuning):
    """Train the attention layers and what is new; everything else stays as pretrained."""

    def apply(self, joint_unet: JointDenoiser) -> None:
        """Freeze what is neither attention nor new."""
        for unet in joint_unet.unets:
            _train_only(unet, ("attn1", "attn2", *joint_unet.new_layers))


@dataclass(frozen=True)
class LoRA(FineTuning):
    """Train a low-rank addition to every attention layer's linear maps (Hu et al. 2022), and what is new.

    Attributes:
        rank: Rank of the additions.
        scale: The additions are multiplied by `scale / rank` (peft's `lora_alpha`).
    """

    rank: int = 16
    scale: int = 16

    def __post_init__(self) -> None:
        """Refuse a rank below 1."""
        if self.rank < 1:
            raise InputError(f"fine_tuning.rank: expected at least 1, got {self.rank}")

    def apply(self, joint_unet: JointDenoiser) -> None:
        """Add an adapter by diffusers' own `add_adapter`; freeze the rest, but for what is new."""
        try:
            from peft import LoraConfig
        except ImportError as error:
            raise InputError("fine_tuning LoRA needs peft: pip install 'drip_lightning[lora]'") from error
        config = LoraConfig(r=self.rank, lora_alpha=self.scale, target_modules=list(_PROJECTIONS))
        for unet in joint_unet.unets:
            unet.add_adapter(config)
            _train_only(unet, ("lora_A", "lora_B", *joint_unet.new_layers))

    def merge(self, joint_unet: JointDenoiser) -> None:
        """Add the adapters' products to the weights; equal but for rounding."""
        for unet in joint_unet.unets:
            unet.fuse_lora()
            unet.unload_lora()


def _train_only(unet: UNet2DConditionModel, parts: Collection[str]) -> None:
    """Train the parameters whose name has one of these parts between its dots."""
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(not set(name.split(".")).isdisjoint(parts))
