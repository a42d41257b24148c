"""The sampler of an exported folder, without what pipelines of diffusers and training take to import and to load."""

from collections.abc import Mapping
from dataclasses import replace
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import nn

from drip_lightning.choices import class_of
from drip_lightning.memory import parse_bytes
from drip_lightning.nn.export_index import WEIGHTS, read_config, read_index
from drip_lightning.nn.half_size import HalfSizeUNetDecoderModule
from drip_lightning.nn.joint_denoiser import JointDenoiser
from drip_lightning.nn.memory_bound import MemoryBound
from drip_lightning.nn.pipeline_folder import read_weights
from drip_lightning.nn.plain_pipeline import PlainMattingPipeline
from drip_lightning.nn.sampler import MattingSampler
from drip_lightning.nn.skip_decoder import SkipDecoderModule
from drip_lightning.nn.transparency import LatentDecoder, UNetDecoderModule, VaeDecoderModule

_DECODERS: dict[str, type[LatentDecoder]] = {
    one.__name__: one for one in (HalfSizeUNetDecoderModule, SkipDecoderModule, UNetDecoderModule)
}


def is_known(folder: Path) -> bool:
    """Whether `exported_sampler` can read a folder: not one of an earlier version, or with somebody's own decoder.

    Raises:
        InputError: `drip export` did not write it, or it is damaged.
    """
    decoder = _decoder(read_index(folder))
    return "switcher" in read_config(folder, "unet") and (decoder is None or decoder in _DECODERS)


def exported_sampler(folder: Path, *, memory: str | None = None, **sizes: Any) -> tuple[MattingSampler, int]:
    """Load a folder that `drip export` wrote, and that `is_known`, on the CPU.

    Args:
        folder: With `model_index.json`.
        memory: Of the whole process at most, such as `4GB`; what is free if not given.
        sizes: Of `Sizes`, what is other than the folder's own.

    Returns:
        The sampler, as `MattingPipeline.from_pretrained` makes it, and how many denoising steps are its own.

    Raises:
        InputError: a file is missing or damaged, or no picture could be brought to the sizes.
    """
    arguments = signature(PlainMattingPipeline.__init__).parameters.values()
    index = {one.name: one.default for one in arguments} | read_index(folder)  # earlier versions wrote fewer
    unet_config = read_config(folder, "unet")
    for choice in (
        unet_config["switcher"],
        unet_config["attention"],
        index["noise"],
        index["noise_schedule"],
        index["hints"],
    ):
        if choice:
            class_of(choice["class_path"], where=str(folder))  # imports it
    decoder = _decoder(index)
    unet = nn.Module.to(_loaded(JointDenoiser, folder, "unet"), memory_format=torch.channels_last)  # type: ignore[call-overload]
    parts = SimpleNamespace(
        config=index,
        vae=_loaded(AutoencoderKL, folder, "vae"),
        unet=unet,
        scheduler=SimpleNamespace(config=read_config(folder, "scheduler")),
        transparency_decoder=_loaded(_DECODERS[decoder], folder, "transparency_decoder") if decoder else None,
        _vae_decoder=VaeDecoderModule(),
    )
    # of a pipeline, making a sampler takes these parts alone
    sampler = PlainMattingPipeline.sampler(parts)  # type: ignore[arg-type]
    bound = MemoryBound(None if memory is None else parse_bytes(memory))
    sampler = replace(sampler, sizes=replace(sampler.sizes, **sizes), memory=bound)
    return sampler, index["default_denoising_steps"]


def _decoder(index: Mapping[str, Any]) -> str | None:
    """The class of its transparency decoder; none for the VAE alone."""
    _module, name = index.get("transparency_decoder") or (None, None)
    return name


def _loaded(kind: Any, folder: Path, part: str) -> Any:
    network = kind.from_config(read_config(folder, part))
    network.load_state_dict(read_weights(folder, f"{part}/{WEIGHTS}"))
    return network.requires_grad_(False).eval()
