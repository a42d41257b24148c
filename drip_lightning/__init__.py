"""Diffusion-prior image matting in PyTorch Lightning: foreground colour and alpha together (DRIP, NeurIPS 2024).

Everything public is importable from here, and imported when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drip_lightning.data.augment import Augmentation as Augmentation
    from drip_lightning.data.sample import MattingBatch as MattingBatch
    from drip_lightning.data.synth.folders import synthesise as synthesise
    from drip_lightning.data.synth.samples import SynthSettings as SynthSettings
    from drip_lightning.errors import InputError as InputError
    from drip_lightning.lit.autoencoder import Autoencoder as Autoencoder
    from drip_lightning.lit.datamodule import MattingDataModule as MattingDataModule
    from drip_lightning.lit.denoiser import Denoiser as Denoiser
    from drip_lightning.lit.resume.checkpoint_io import CheckpointFiles as CheckpointFiles
    from drip_lightning.lit.resume.checkpoints import Checkpoints as Checkpoints
    from drip_lightning.lit.stage import load as load
    from drip_lightning.lit.transparency import TransparencyDecoder as TransparencyDecoder
    from drip_lightning.nn.noise_schedule import NoiseSchedule as NoiseSchedule
    from drip_lightning.nn.pretrained import FromScratch as FromScratch
    from drip_lightning.nn.pretrained import StableDiffusion as StableDiffusion
    from drip_lightning.nn.sampler import Matte as Matte
    from drip_lightning.nn.sampler import MattingSampler as MattingSampler
    from drip_lightning.ops.panel import matte_panel as matte_panel
    from drip_lightning.ops.randomness import sample_generator as sample_generator
    from drip_lightning.pipeline import MattingOutput as MattingOutput
    from drip_lightning.pipeline import MattingPipeline as MattingPipeline

__version__ = "0.1.0"

_PUBLIC = {
    "Augmentation": "data.augment",
    "Autoencoder": "lit.autoencoder",
    "CheckpointFiles": "lit.resume.checkpoint_io",
    "Checkpoints": "lit.resume.checkpoints",
    "Denoiser": "lit.denoiser",
    "FromScratch": "nn.pretrained",
    "InputError": "errors",
    "Matte": "nn.sampler",
    "MattingBatch": "data.sample",
    "MattingDataModule": "lit.datamodule",
    "MattingOutput": "pipeline",
    "MattingPipeline": "pipeline",
    "MattingSampler": "nn.sampler",
    "NoiseSchedule": "nn.noise_schedule",
    "StableDiffusion": "nn.pretrained",
    "SynthSettings": "data.synth.samples",
    "TransparencyDecoder": "lit.transparency",
    "load": "lit.stage",
    "matte_panel": "ops.panel",
    "sample_generator": "ops.randomness",
    "synthesise": "data.synth.folders",
}
"""Name to the module that defines it."""

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, too."""
    return sorted({*globals(), *_PUBLIC})
