"""A trained pipeline as a folder in diffusers' format: what `drip export` writes, as a source of networks."""

import hashlib
import json
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
from drip_lightning.nn.joint_denoiser import narrow_config
from drip_lightning.nn.pretrained import Networks

INDEX = "model_index.json"
"""diffusers' list of parts; under `drip` it holds what the stages are, and every file's SHA-256."""
CARD = "README.md"
WEIGHTS = "diffusion_pytorch_model.safetensors"
"""diffusers' name for a part's weights."""
_EARLIER_PROMPT_EMBEDDING = "prompt_embedding.safetensors"
"""Where earlier versions wrote it, with each U-Net in a folder of its own."""
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
        if (folder / _EARLIER_PROMPT_EMBEDDING).exists():
            return read_weights(folder, _EARLIER_PROMPT_EMBEDDING)["prompt_embedding"]
        return torch.zeros(read_config(folder, "unet")["prompt_shape"])


def read_index(folder: Path) -> dict[str, Any]:
    """Read `model_index.json` of a folder that `drip export` wrote.

    Raises:
        InputError: there is none, or another program wrote it.
    """
    try:
        index = json.loads((folder / INDEX).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {folder / INDEX} ({type(error).__name__}): export it again") from error
    written = index.get("drip") if isinstance(index, dict) else None
    if not isinstance(written, dict) or not isinstance(written.get("files"), dict):
        raise InputError(f"{folder} was not written by `drip export`: give a run folder, a checkpoint or an export")
    return index


def check_files(folder: Path) -> None:
    """Check that a folder is what `drip export` wrote, every file of it.

    Raises:
        InputError: it is not; the message says what is wrong with which file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    index = read_index(folder)
    if (folder / _EARLIER_PROMPT_EMBEDDING).exists():
        raise InputError(f"{folder} was written by an earlier version: load its checkpoint and export it again")
    for name in index["drip"]["files"]:
        _checked(folder, name)


def seal(folder: Path, index: dict[str, Any]) -> None:
    """Write a folder's `model_index.json`, with a SHA-256 of every other file.

    Args:
        folder: With everything that belongs into it.
        index: As diffusers wants it.
    """
    names = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    files = {name: file_digest(folder / name) for name in names if name not in (INDEX, CARD)}
    sealed = index | {"drip": {**(index.get("drip") or {"stages": []}), "files": files}}
    (folder / INDEX).write_text(json.dumps(sealed, indent=2) + "\n")


def read_weights(folder: Path, name: str) -> dict[str, Tensor]:
    """Read one of the folder's safetensors files, on the CPU, as float32; nothing is ever unpickled.

    Tensors are copied one by one, so that the file itself is never in this process's memory: where they lie in it, some
    are not aligned, and a CPU would add up in another order.

    Raises:
        InputError: it is missing, or not what was written.
    """
    try:
        weights = dict(_copies(_checked(folder, name)))
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


def file_digest(file: Path) -> str:
    """SHA-256 in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_config(folder: Path, part: str) -> dict[str, Any]:
    """A part's configuration without diffusers' private entries, which would undo changes.

    Raises:
        InputError: it is missing, or not what was written.
    """
    name = "scheduler_config.json" if part == "scheduler" else "config.json"
    config = json.loads(_checked(folder, f"{part}/{name}").read_text())
    return {name: value for name, value in config.items() if not name.startswith("_")}


def _checked(folder: Path, name: str) -> Path:
    file = folder / name
    expected = read_index(folder)["drip"]["files"].get(name)
    try:
        found = file_digest(file)
    except OSError as error:
        raise InputError(f"cannot read {file} ({error.strerror}): copy or export the folder again") from error
    if found != expected:
        raise InputError(f"{file} is damaged (its checksum differs): copy or export the folder again")
    return file


def is_exported(path: Path) -> bool:
    """Whether a path is a folder in diffusers' format, and so no run folder."""
    return (path / INDEX).is_file()


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
