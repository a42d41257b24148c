"""The names by which configurations, checkpoints and exports know the project's own choices: classes, never files.

A choice of the project is named by its class (`CrossDomainAttention`), so that files can move; anybody else's by its
dotted path (`mylab.attention.Windowed`), which needs no entry here. Dotted paths of the project, as earlier versions
wrote them, are read as the class they end in.
"""

import importlib
import pkgutil
import re
from collections.abc import Mapping
from typing import Any

from drip_lightning.errors import InputError

_PACKAGE = __name__.partition(".")[0]
_MODULES = {
    "data.augment": ("Augmentation", "ColourJitter"),
    "data.degradations": ("Blur", "Jpeg", "Noise", "Shrink"),
    "data.foreground_degradations": ("Defocus", "MotionBlur", "Multiply", "Tint"),
    "lit.autoencoder": ("Autoencoder",),
    "lit.averaging": ("EMA", "NoAveraging"),
    "lit.callbacks.learning_rate_range": ("LearningRateRange",),
    "lit.datamodule": ("MattingDataModule",),
    "lit.denoiser": ("Denoiser",),
    "lit.latent_source": ("CachedLatents", "LiveLatents"),
    "lit.learning_rate": ("OneAfterAnother", "WarmupThenDecay"),
    "lit.objectives": ("Denoising", "OneStep"),
    "lit.parameter_groups": ("DecayWeightsOnly", "LayerwiseDecay"),
    "lit.ranks.parallel": ("DripDDPStrategy", "DripFSDPStrategy"),
    "lit.transparency": ("TransparencyDecoder",),
    "nn.sampler": ("KnownPixels",),
    "nn.attention": ("CrossDomainAttention", "IndependentAttention", "LowResolutionCrossDomainAttention"),
    "nn.channel_order": ("ChannelOrder",),
    "nn.fine_tuning": ("AllWeights", "AttentionOnly", "LoRA"),
    "nn.half_size": ("HalfSizeUNetDecoder",),
    "nn.losses": ("MattingLoss",),
    "nn.noise": ("AnnealedMultiResolutionNoise", "GaussianNoise", "MarigoldNoise", "MultiResolutionNoise", "ZeroNoise"),
    "nn.noise_schedule": ("NoiseSchedule",),
    "nn.pipeline_folder": ("PipelineFolder",),
    "nn.pretrained": ("FromScratch", "StableDiffusion"),
    "nn.skip_decoder": ("SkipDecoder",),
    "nn.solver": ("DPMSolver",),
    "nn.switcher": ("PosEncSwitcher",),
    "nn.transparency": ("VaeDecoder", "UNetDecoder"),
    "nn.two_unets": ("TwoUNets",),
    "ops.hints.choice": (
        "ClosedFormAndColours",
        "NoHints",
        "PropagatedColours",
        "SampledAndPropagatedColours",
        "SampledColours",
    ),
}
CHOICES: Mapping[str, str] = {name: f"{_PACKAGE}.{module}" for module, names in _MODULES.items() for name in names}
"""Class name to the module that defines it now."""

_RENAMED = {
    "FrozenVae": "VaeDecoder",
    "ParallelRanks": "DripDDPStrategy",
    "ShardedRanks": "DripFSDPStrategy",
    "SkipConnections": "SkipDecoder",
}
"""Names of earlier versions to today's."""


class Replaceable:
    """Base of a dataclass in whose place a configuration may name a subclass: of a pure one jsonargparse takes none."""


_OWN_PATH = re.compile(rf"(?<![\w.]){_PACKAGE}(?:\.\w+)*\.([A-Z]\w*)(?![\w.])")


def name_of(kind: type) -> str:
    """How a class is named in what is stored: one of the project's own by its name, any other by its dotted path."""
    path = f"{kind.__module__}.{kind.__qualname__}"
    return kind.__qualname__ if path_of(kind.__qualname__) == path else path


def current_name(name: str) -> str:
    """A class's name as of now; only choices that earlier versions called otherwise have another."""
    return _RENAMED.get(name, name)


def path_of(name: str) -> str:
    """The dotted path, as of now, of a class named as `name_of` does, or by a dotted path of an earlier version."""
    known = _OWN_PATH.fullmatch(name)
    own = current_name(known[1] if known else name)
    return f"{CHOICES[own]}.{own}" if own in CHOICES else name


def with_paths(text: str) -> str:
    """Text such as a configuration file's, its dotted paths of the project brought up to date."""
    return _OWN_PATH.sub(lambda match: path_of(match[0]), text)


def with_names(text: str) -> str:
    """Text such as a configuration file's, the project's own dotted paths shortened to names."""
    return _OWN_PATH.sub(lambda match: match[1] if match[1] in CHOICES else match[0], text)


def described(config: Any) -> Any:
    """A description in plain values, every `class_path` in it a dotted path that can be imported now.

    Args:
        config: Values, lists, dicts, as a checkpoint or an export holds them.
    """
    if isinstance(config, dict):
        return {
            key: path_of(value) if key == "class_path" and isinstance(value, str) else described(value)
            for key, value in config.items()
        }
    return [described(one) for one in config] if isinstance(config, list | tuple) else config


def check_importable(config: Any, *, where: str) -> None:
    """Check that every class of a description can be imported.

    Args:
        config: As `described` gives it.
        where: What holds the description, for the error.

    Raises:
        InputError: a module or class is not there.
    """
    if isinstance(config, dict):
        path = config.get("class_path")
        if isinstance(path, str):
            class_of(path, where=where)
        for value in config.values():
            check_importable(value, where=where)
    elif isinstance(config, list):
        for value in config:
            check_importable(value, where=where)


def class_of(name: str, *, where: str) -> Any:
    """Import what a class's name stands for.

    Args:
        name: As `path_of` takes it.
        where: What holds the name, for the error.

    Raises:
        InputError: a module or class is not there.
    """
    path = path_of(name)
    try:
        return pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"{where} names {path}, which cannot be imported ({error}): run where its module is, or install it"
        ) from error


def import_all() -> None:
    """Import every choice of the project, so that a parser which knows subclasses by name knows them."""
    for module in dict.fromkeys(CHOICES.values()):
        importlib.import_module(module)
