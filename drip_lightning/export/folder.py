"""Writing a trained stage as one self-contained folder in diffusers' format."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from drip_lightning.errors import InputError, RunError, raised_as
from drip_lightning.files import whole_folder
from drip_lightning.lit.description import choice_to_config, config_to_choice
from drip_lightning.lit.matting import MattingStage
from drip_lightning.lit.transparency import TransparencyDecoder
from drip_lightning.nn.export_index import CARD, INDEX, WEIGHTS, is_exported, read_index
from drip_lightning.nn.fine_tuning import AllWeights, FineTuning
from drip_lightning.nn.pipeline_folder import PipelineFolder


def check_place(out: Path, *, overwrite: bool) -> None:
    """See to it that nothing of the user's is replaced.

    Raises:
        InputError: something is there, and may not or must not be replaced.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not overwrite:
        raise InputError(f"{out} exists: choose another place, or replace an earlier export with --overwrite")
    if not is_exported(out):
        raise InputError(f"{out} was not written by `drip export`: choose another place")
    read_index(out)


def stage_descriptions(stage: MattingStage) -> list[dict[str, Any]]:
    """The denoiser's description, then that of the transparency decoder if there is one."""
    own = stage.describe()
    return [stage.denoiser_description, own] if isinstance(stage, TransparencyDecoder) else [own]


def base_of(stage: MattingStage) -> str | None:
    """What the denoiser was fine-tuned from, without folders of this machine; none if it was made from scratch."""
    sources = stage_descriptions(stage)[0]["init_args"]["networks"]["init_args"]
    base = sources.get("source") or sources.get("base")
    return Path(base).resolve().name if base and Path(base).exists() else base


def write_pipeline_folder(
    stage: MattingStage,
    out: Path,
    *,
    card: str,
    dtype: torch.dtype = torch.float32,
    variants: Mapping[str, torch.dtype] | None = None,
    overwrite: bool = False,
) -> Iterator[str]:
    """Write a folder that `Stage.from_checkpoint` reads, whole or not at all; yields what it has written, as it goes.

    The stage itself is changed: low-rank additions are merged into the U-Net's weights, and all are laid out as files
    have them, where they are in memory.

    Args:
        stage: Loaded by `from_checkpoint`.
        out: The folder.
        card: Text of its README.md.
        dtype: Of the weights in the files; whoever reads them computes in float32, or as told.
        variants: Of further files of weights beside them, by diffusers' names.
        overwrite: Replace an earlier export.

    Raises:
        InputError: see `check_place`; or a weight is too large for `dtype`.
        RunError: it cannot be written.
    """
    check_place(out, overwrite=overwrite)
    with (
        raised_as(
            RunError,
            OSError,
            SafetensorError,
            message=lambda reason: f"cannot write {out} ({reason}): free some space, or choose another place",
        ),
        whole_folder(out) as folder,
    ):
        dtypes: dict[str | None, torch.dtype] = {None: dtype}
        dtypes.update(variants or {})
        yield from _write_parts(stage, folder, dtypes)
        (folder / CARD).write_text(card)


def _write_parts(stage: MattingStage, folder: Path, dtypes: Mapping[str | None, torch.dtype]) -> Iterator[str]:
    stages = stage_descriptions(stage)
    config_to_choice(stages[0]["init_args"]["fine_tuning"], FineTuning).merge(stage.sampler.joint_unet)
    for description in stages:
        description["init_args"]["start_from"] = None  # the folder is complete without
    stages[0]["parts"] = {"joint_unet.": f"unet/{WEIGHTS}"}
    stages[0]["init_args"]["fine_tuning"] = choice_to_config(AllWeights())
    if isinstance(stage, TransparencyDecoder):
        has_weights = any(True for _ in stage.latent_decoder.parameters())
        stages[1]["parts"] = {"latent_decoder.": f"transparency_decoder/{WEIGHTS}"} if has_weights else {}
        stages[1]["init_args"]["denoiser"] = "."
    _take_networks_from_folder(stages, base_of(stage))
    pipeline = stage.pipeline
    pipeline.register_to_config(drip={"stages": stages})
    for variant, dtype in dtypes.items():
        for name, network in pipeline.networks.items():
            _check_holds(network.state_dict(), dtype, name)
            _lay_out(network, dtype)
        pipeline.save_pretrained(folder, variant=variant)
    yield from (f"{name}/" for name in pipeline.components if (folder / name).is_dir())
    yield INDEX


def _take_networks_from_folder(stages: list[dict[str, Any]], base: str | None) -> None:
    for description in stages:
        sizes = description["init_args"]["networks"]["init_args"]
        networks = PipelineFolder(".", base, sizes["transparency_channels"], sizes["transparency_layers"])
        description["init_args"]["networks"] = choice_to_config(networks)


def _lay_out(network: nn.Module, dtype: torch.dtype) -> None:
    """Lay weights out as files have them, each in the memory that it has: diffusers would copy all others at once.

    Args:
        network: Its weights are contiguous afterwards.
        dtype: Of those in floating point, of no more bytes than what they have.
    """
    for weight in (*network.parameters(), *network.buffers()):
        own = weight.data
        values = own.to(dtype if own.is_floating_point() else own.dtype).contiguous()
        if values.data_ptr() != own.data_ptr():
            start = own.storage_offset() * own.element_size() // values.element_size()
            place = values.new_empty(0).set_(own.untyped_storage(), start, values.shape, values.stride())
            weight.data = place.copy_(values)


def _check_holds(weights: dict[str, Tensor], dtype: torch.dtype, network: str) -> None:
    for name, value in weights.items():
        if value.is_floating_point() and value.isfinite().all() and not value.to(dtype).isfinite().all():
            raise InputError(
                f"{network}.{name} has values that {str(dtype).removeprefix('torch.')} cannot hold: choose another "
                "--precision"
            )
