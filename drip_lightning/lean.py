"""diffusers imported without what no picture needs: several times faster, for a command that does nothing else."""

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

_PARTS = (
    "models.autoencoders.autoencoder_kl",
    "models.unets.unet_2d_condition",
    "pipelines.pipeline_utils",
    "schedulers.scheduling_ddpm",
    "schedulers.scheduling_dpmsolver_multistep",
)
"""Modules of diffusers that trained pipelines are made of."""
_NOT_NEEDED = ("peft", "scipy", "torch._dynamo", "transformers")
"""What they import where it is installed, and work without: fine-tuning, rare schedules, compilation, text."""
_EAGER = "diffusers.models.transformers"
"""A package that imports every transformer there is; a U-Net needs two of its modules."""

is_own_process = False
"""Whether this process serves one command alone, and nobody misses what diffusers then lacks."""


def import_diffusers() -> None:
    """Import what trained pipelines need of diffusers, and as little else as it takes.

    What of diffusers needs the libraries left out, such as fine-tuning, is missing in the process from then on. So this
    does nothing unless `is_own_process`, nor where diffusers is imported already. All else is as it was afterwards, and
    numbers are the same.
    """
    if not is_own_process or "diffusers" in sys.modules:
        return
    import torch  # before anything is hidden from it

    hidden = [name for name in _NOT_NEEDED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None there means that a module cannot be imported
    disable, packages = torch.compiler.disable, importlib.metadata.packages_distributions
    torch.compiler.disable = _as_it_is
    importlib.metadata.packages_distributions = dict  # it reads what is known of every package that is installed
    try:
        sys.modules[_EAGER] = _unexecuted(_EAGER)
        for part in _PARTS:
            importlib.import_module(f"diffusers.{part}")
    finally:
        torch.compiler.disable, importlib.metadata.packages_distributions = disable, packages
        for name in (*hidden, _EAGER):
            sys.modules.pop(name, None)


def _as_it_is(function: Callable[..., Any] | None = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """In place of `torch.compiler.disable`, which imports the compiler."""
    return function if function is not None else lambda decorated: decorated


def _unexecuted(name: str) -> ModuleType:
    """A package whose modules can be imported, though its own file was not executed."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    return importlib.util.module_from_spec(spec)
