"""Writing a trained stage as one self-contained folder in diffusers' format."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from drip_lightning.errors import InputError, RunError, raised_as
from drip_lightning.files import whole_folder
from drip_lightning.lit.description import choice_to_config, config_to_choice
from drip_lightning.lit.matting import MattingStage
from drip_lightning.lit.transparency import TransparencyDecoder
from drip_lightning.nn.fine_tuning import AllWeights, FineTuning
from drip_lightning.nn.pipeline_folder import (
    INDEX,
    PROMPT_EMBEDDING,
    WEIGHTS,
    PipelineFolder,
    file_digest,
    is_exported,
    read_index,
)

CARD = "README.md"
TRANSPARENCY = "transparency_decoder.safetensors"


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
    stage: MattingStage, out: Path, *, card: str, dtype: torch.dtype = torch.float32, overwrite: bool = False
) -> Iterator[str]:
    """Write a folder that `Stage.from_checkpoint` reads, whole or not at all; yields what it has written, as it goes.

    Low-rank additions are merged into the U-Net's weights: the stage itself is changed.

    Args:
        stage: Loaded by `from_checkpoint`.
        out: The folder.
        card: Text of its README.md.
        dtype: Of the weights in the files; whoever reads them computes in float32, or as told.
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
        yield from _write_parts(stage, folder, dtype)
        (folder / CARD).write_text(card)


def _write_parts(stage: MattingStage, folder: Path, dtype: torch.dtype) -> Iterator[str]:
    pipeline, stages = stage.pipeline, stage_descriptions(stage)
    config_to_choice(stages[0]["init_args"]["fine_tuning"], FineTuning).merge(pipeline.joint_unet)
    unets = [name for name, part in pipeline.joint_unet.named_children() if part in pipeline.joint_unet.unets]
    parts = {"vae": pipeline.codec.vae, **{name: pipeline.joint_unet.get_submodule(name) for name in unets}}
    for name, network in parts.items():
        network.save_config(folder / name)  # type: ignore[operator]
        _save(network.state_dict(), folder / name / WEIGHTS, dtype)
        yield f"{name}/"
    solver = pipeline.schedule.solver(stage.sampling_steps)
    solver.save_pretrained(folder / "scheduler")
    own = pipeline.joint_unet.state_dict()
    _save({name: own[name] for name in own if name.split(".")[0] not in unets}, folder / PROMPT_EMBEDDING, dtype)
    stages[0]["parts"] = {f"joint_unet.{name}.": f"{name}/{WEIGHTS}" for name in unets}
    stages[0]["parts"]["joint_unet."] = PROMPT_EMBEDDING
    for description in stages:
        description["init_args"]["start_from"] = None  # the folder is complete without
    stages[0]["init_args"]["fine_tuning"] = choice_to_config(AllWeights())
    yield PROMPT_EMBEDDING
    if isinstance(stage, TransparencyDecoder):
        _save(stage.latent_decoder.state_dict(), folder / TRANSPARENCY, dtype)
        stages[1]["parts"] = {"latent_decoder.": TRANSPARENCY}
        stages[1]["init_args"]["denoiser"] = "."
        yield TRANSPARENCY
    _take_networks_from_folder(stages, base_of(stage))
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    index = {
        "_class_name": "MattingPipeline",
        "_diffusers_version": diffusers.__version__,
        **{name: ["diffusers", type(network).__name__] for name, network in parts.items()},
        "scheduler": ["diffusers", type(solver).__name__],
        "drip": {"stages": stages, "files": {str(file.relative_to(folder)): file_digest(file) for file in files}},
    }
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")
    yield INDEX


def _take_networks_from_folder(stages: list[dict[str, Any]], base: str | None) -> None:
    for description in stages:
        sizes = description["init_args"]["networks"]["init_args"]
        networks = PipelineFolder(".", base, sizes["transparency_channels"], sizes["transparency_layers"])
        description["init_args"]["networks"] = choice_to_config(networks)


def _save(weights: dict[str, Tensor], file: Path, dtype: torch.dtype) -> None:
    """As diffusers does, in one file of any size."""
    cast = {name: (value.to(dtype) if value.is_floating_point() else value) for name, value in weights.items()}
    lost = next(
        (name for name, value in cast.items() if not value.isfinite().all() and weights[name].isfinite().all()), ""
    )
    if lost:
        raise InputError(
            f"{lost} has values that {str(dtype).removeprefix('torch.')} cannot hold: choose another --precision"
        )
    save_file({name: value.contiguous() for name, value in cast.items()}, file, metadata={"format": "pt"})
