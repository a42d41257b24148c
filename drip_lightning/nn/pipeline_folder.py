"""A trained pipeline as a folder in diffusers' format: what `drip export` writes, as a source of networks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from torch import Tensor

from drip_lightning.errors import InputError
from drip_lightning.nn.export_index import (
    EARLIER_PROMPT_EMBEDDING,
    INDEX,
    WEIGHTS,
    checked_file,
    read_config,
    read_index,
)
from drip_lightning.nn.joint_denoiser import narrow_config
from drip_lightning.nn.pretrained import Networks

_UNETS = ("unet", "foreground_unet")


@dataclass(frozen=True)
class PipelineFolder(Networks):
    """The networks of a folder that `drip export` wrote; its U-Net's weights are those of the denoiser stage.

    Attributes:
        folder: The folder.
        base: What the networks were fine-tuned from; none if they were trained from scratch.
        transparency_channels: Features of each level of the transparency decoder, from full size down by halves.
        transparency_layers: Residual blocks in each level of the transparency decoder.
    """

    folder: str
    base: str | None
    transparency_channels: tuple[int, ...]
    transparency_layers: int

    has_pretrained_unet = False

    def new_vae(self) -> AutoencoderKL:
        """Refuse: the folder brings its own autoencoder.

        Raises:
            InputError: always.
        """
        raise InputError("networks PipelineFolder brings a trained autoencoder; train one with networks FromScratch")

    def trained_vae(self, *, pretrained: bool = True) -> AutoencoderKL:
        """Load the VAE, every weight of it."""
        folder = Path(self.folder)
        with init_empty_weights():
            vae = AutoencoderKL.from_config(read_config(folder, "vae"))
        if pretrained:
            vae.load_state_dict(read_weights(folder, f"vae/{WEIGHTS}"), assign=True)
        return vae

    def unet(self, *, pretrained: bool = True) -> UNet2DConditionModel:
        """The U-Net as it was before it was widened to both domains, without its weights.

        Raises:
            InputError: its weights are asked for; only the widened ones are in the folder.
        """
        if pretrained:
            raise InputError(
                f"{self.folder} holds a trained matting pipeline, no U-Net to start from: train from Stable Diffusion "
                "or from scratch"
            )
        folder = Path(self.folder)
        channels = read_config(folder, "vae")["latent_channels"]
        part = next(name for name in read_index(folder) if name in _UNETS)
        with init_empty_weights():
            return UNet2DConditionModel.from_config(narrow_config(read_config(folder, part), channels))

    def prompt_embedding(self, *, pretrained: bool = True) -> Tensor:
        """One of the right shape; its values come with the U-Net's weights."""
        folder = Path(self.folder)
        if (folder / EARLIER_PROMPT_EMBEDDING).exists():
            return read_weights(folder, EARLIER_PROMPT_EMBEDDING)["prompt_embedding"]
        return torch.zeros(read_config(folder, "unet")["prompt_shape"])


def read_weights(folder: Path, name: str) -> dict[str, Tensor]:
    """Read one of the folder's safetensors files, on the CPU, as float32; nothing is ever unpickled.

    Tensors are copied one by one, so that the file itself is never in this process's memory: where they lie in it, some
    are not aligned, and a CPU would add up in another order.

    Raises:
        InputError: it is missing, or not what was written.
    """
    try:
        weights = dict(_copies(checked_file(folder, name)))
    except SafetensorError as error:
        raise InputError(f"{folder / name} is damaged ({error}): copy or export the folder again") from error
    return weights


def _copies(file: Path) -> Iterator[tuple[str, Tensor]]:
    with safe_open(file, "pt") as opened:
        names = list(opened.keys())
    for name in names:
        with safe_open(file, "pt") as opened:  # anew, for what one has read stays in memory as long as it is open
            value = opened.get_tensor(name)
            yield name, value.to(torch.float32 if value.is_floating_point() else value.dtype, copy=True)


def read_exported(folder: Path, is_wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The checkpoint that an exported folder stands for.

    Args:
        folder: What `drip export` wrote.
        is_wanted: Tells by a stage's description whether it will do: of a transparency decoder's folder, the denoiser
            can be read alone.

    Raises:
        InputError: it is damaged, or of another program.
    """
    written = read_index(folder)["drip"]
    try:
        fitting = [stage for stage in written["stages"] if is_wanted(stage)]
        stage = (fitting or written["stages"])[-1]
        init_args = dict(stage["init_args"])
        networks = init_args["networks"]
        init_args["networks"] = networks | {"init_args": networks["init_args"] | {"folder": str(folder)}}
        parts = stage["parts"].items()
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"{folder / INDEX} is damaged ({error}): copy or export the folder again") from error
    if "denoiser" in init_args:
        init_args["denoiser"] = str(folder)
    weights = {prefix + name: value for prefix, file in parts for name, value in read_weights(folder, file).items()}
    return {"drip": stage | {"init_args": init_args}, "state_dict": weights}
