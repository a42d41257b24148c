"""`drip fit | validate | test | predict`: LightningCLI over the three stages."""

import os
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from drip_lightning.cli.environment import settings_of_environment
from drip_lightning.cli.sigterm import ended_by_sigterm
from drip_lightning.errors import DripError, InputError, RunError, raised_as, reason_of

if TYPE_CHECKING:
    from lightning.pytorch.cli import LightningCLI

HELP = """\
usage: drip {verb} --config FILE [--config FILE …] [--KEY VALUE …]

{purpose}

A run is described by YAML files; a later --config wins over an earlier one, and --KEY VALUE wins over both. Between
them comes the environment: DRIP_FIT__DATA__NUM_WORKERS=8 is `drip fit --data.num_workers 8`, after the files.

  configs/autoencoder.yaml, denoiser.yaml, transparency.yaml   the three stages, every choice visible
  configs/scale/tiny.yaml, small.yaml, sd2.yaml                sizes: seconds on a CPU … the paper's recipe
  configs/hardware/*.yaml                                      cpu, gpu, ddp, slurm
  configs/ablation/*.yaml                                      one factor each

Often set:
  --trainer.default_root_dir DIR    the run's folder: checkpoints/, tensorboard/, config.yaml
  --trainer.max_steps N             length of the training
  --data.foregrounds DIR            foreground shards, or '{{DIR: WEIGHT, DIR: WEIGHT}}'; also --data.backgrounds
  --data.evaluation DIR             evaluation shards, or '{{NAME: DIR, NAME: DIR}}'
  --data.batch_size N               training samples in a step, over all ranks
  --model.networks.source DIR       Stable Diffusion 2: a folder in diffusers' format, or a Hub id
  --model.denoiser DIR              transparency stage: run folder or checkpoint of the trained denoiser
  --checkpoint.every_n_train_steps N
  --ckpt_path auto | RUN | FILE     resume from (fit) or use (others) a checkpoint; auto: this run's newest, if any;
                                    others take the run's best if it keeps one (checkpoint.best.score)
  --moved OLD=NEW,…                 where what a loaded run names is now, if it was moved, such as its autoencoder

  --print_config                    show the resolved configuration and stop
  --help-all                        every option of the trainer, the data and the callbacks
  --model.help CLASS                the options of a stage, such as Denoiser

--config takes a file or, where there is no such file, the name of a shipped configuration (`drip configs DIR` copies
them out).

example:
  drip {verb} --config configs/denoiser.yaml --config configs/scale/tiny.yaml --trainer.default_root_dir runs/try
"""

PURPOSES = {
    "fit": "Train a stage. Checkpoints, TensorBoard logs and the resolved configuration land in its run folder.",
    "validate": "Score a stage on the evaluation shards.",
    "test": "Measure a configured stage beside its trimaps; `drip test --help` says more.",
    "predict": "Matte the evaluation shards, for callbacks that write or for Python; `drip matte` writes pictures.",
}

_UNWATCHED = {"predict": ("--return_predictions=false",)}
"""What the command line does without, which nobody can ask for what Lightning collects: it would fill the memory."""


def main(arguments: list[str]) -> int:
    """Run one of Lightning's verbs.

    Args:
        arguments: The verb, and what follows it on the command line.

    Returns:
        0, the exit status.

    Raises:
        InputError: the configuration does not fit the classes, or Lightning refuses it.
        RunError: the run failed on the way: see `RunError`.
        Stopped: a signal ended it.
    """
    verb, rest = arguments[0], arguments[1:]
    set_outside = settings_of_environment(verb)
    if not (rest or set_outside) or "-h" in rest or "--help" in rest:
        print(HELP.format(verb=verb, purpose=PURPOSES[verb]), end="")
        return 0 if rest else 2
    if set_outside:
        print(f"drip {verb}: from the environment: {shlex.join(set_outside.values())}", file=sys.stderr)
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    with (
        raised_as(InputError, MisconfigurationException, message=str),
        _known_failures_told(),
        nullcontext() if verb == "fit" else ended_by_sigterm(verb),
    ):
        run([verb, *_UNWATCHED.get(verb, ()), *("--help" if word == "--help-all" else word for word in rest)])
    return 0


@contextmanager
def _known_failures_told() -> Iterator[None]:
    """Tell in one line of what Lightning and gloo tell in a bare `RuntimeError`: a score, or a rank, is not there."""
    from torch.distributed import DistError

    try:
        yield
    except DripError:
        raise
    except RuntimeError as error:
        if "conditioned on metric" in str(error):  # EarlyStopping's monitor
            raise InputError(f"trainer.callbacks: {reason_of(error)}") from error
        if not isinstance(error, DistError) and "gloo/" not in str(error):
            raise
        raise RunError(
            f"another rank died or cannot be reached ({reason_of(error)}): its own output says why; resume with "
            "--ckpt_path auto"
        ) from error


def run(arguments: list[str]) -> "LightningCLI":
    """Parse and run a verb's arguments as `drip` does; also for notebooks and tests.

    Returns:
        The finished CLI, whose `model`, `datamodule` and `trainer` can be looked at.
    """
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # LightningCLI's, not the user's
    from drip_lightning.cli.lightning_cli import DripCLI

    # sys.argv stays: Lightning starts the other ranks of a machine by it
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter is intended")
    try:
        return DripCLI(args=arguments)
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):  # Lightning saves, and exits with status 1
            raise KeyboardInterrupt from stop
        raise
