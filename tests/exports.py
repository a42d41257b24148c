"""Exported folders of tiny networks, made without any training."""

from pathlib import Path
from typing import Any

from drip_lightning.export.folder import write_pipeline_folder
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.matting import MattingStage
from drip_lightning.lit.transparency import TransparencyDecoder
from tests.networks import NETWORKS, shake, with_saved_vae


def export(stage: MattingStage, folder: Path, **options: Any) -> MattingStage:
    """Build a stage, shake it so that nothing is zero, and write it; what its folder holds, loaded."""
    stage.configure_model()
    shake(stage)
    list(write_pipeline_folder(stage, folder, card="# A tiny model\n", **options))
    return MattingStage.from_checkpoint(folder)


def export_denoiser(folder: Path, **choices: Any) -> MattingStage:
    """A denoiser with the plain VAE decoder."""
    networks = with_saved_vae(folder.parent / f"{folder.name}-vae")
    return export(Denoiser(networks=networks, sampling_steps=2, **choices), folder)


def export_matting(folder: Path, **choices: Any) -> MattingStage:
    """A transparency stage on such a denoiser."""
    denoiser = folder.parent / f"{folder.name}-denoiser"
    export_denoiser(denoiser)
    stage = TransparencyDecoder(denoiser=str(denoiser), networks=NETWORKS, sampling_steps=2, **choices)
    return export(stage, folder)
