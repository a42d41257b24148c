"""Runs in forked processes, and what can befall them."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import drip_lightning.cli.lightning_cli  # noqa: F401 - so that a forked process need not import it
import drip_lightning.cli.main as command
from drip_lightning import files
from drip_lightning.data.datasets import TrainingLayers
from drip_lightning.data.order import ShardOrder
from drip_lightning.lit.resume import checkpoint_io
from drip_lightning.lit.resume.checkpoint_io import checkpoints_in
from drip_lightning.lit.resume.checkpoints import Checkpoints
from drip_lightning.lit.stage import Stage
from tests.runs import CONFIGS, tiny_arguments

STEPS = 7
LENGTH = (
    f"--trainer.max_steps={STEPS}",
    "--trainer.val_check_interval=3",
    "--trainer.log_every_n_steps=1",
    "--checkpoint.every_n_train_steps=2",
)


def _schedule(name: str, **init_args: float) -> str:
    return f'--model.init_args.lr_scheduler={{"class_path": "{name}", "init_args": {init_args}}}'.replace("'", '"')


VARIATIONS: dict[str, tuple[str, ...]] = {
    "autoencoder": ("autoencoder",),
    "denoiser": ("denoiser",),
    "transparency": ("transparency",),
    "averages": (
        "denoiser",
        f"--config={CONFIGS / 'ablation' / 'ema.yaml'}",
        "--checkpoint.best.score=val/alpha_sad_unknown",
    ),
    "accumulated": ("autoencoder", "--trainer.accumulate_grad_batches=2"),
    "workers": ("autoencoder", "--data.num_workers=1"),
    "constant rate": ("autoencoder", "--model.init_args.lr_scheduler=null"),
    "cosine": ("autoencoder", _schedule("torch.optim.lr_scheduler.CosineAnnealingLR", T_max=STEPS)),
    "warm-up": ("autoencoder", _schedule("WarmupThenDecay", warmup_steps=2), "--trainer.val_check_interval=7"),
    "one cycle": ("autoencoder", _schedule("torch.optim.lr_scheduler.OneCycleLR", max_lr=0.01, total_steps=STEPS + 1)),
}


def variation_arguments(variation: str, data: Path, runs: Path, folder: Path) -> list[str]:
    """`drip`'s arguments for a variation's run in `folder`; `runs` holds the stages it builds on."""
    stage, *more = VARIATIONS[variation]
    return tiny_arguments(stage, data, runs, *LENGTH, *more, f"--trainer.default_root_dir={folder}", "--ckpt_path=auto")


@dataclass(frozen=True)
class Fault:
    """Something that befalls a run.

    Args:
        name: What it is.
        arm: Called in the run's own process, before it begins.
        statuses: What `drip` may then exit with; minus the signal's number where it kills.
    """

    name: str
    arm: Callable[[], None]
    statuses: tuple[int, ...]

    def __str__(self) -> str:
        return self.name


def launch(arguments: list[str], log: Path, fault: Fault | None = None) -> int:
    """Run `drip` in a forked process; its exit status, or minus the number of the signal that killed it."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        status = 99
        try:
            torch.set_num_threads(1)  # a pool of threads that other tests began does not survive the fork
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if fault:
                fault.arm()
            status = command.run(arguments)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _before(
    owner: Any, name: str, what: Callable[[], None], *, at: int, when: Callable[..., bool] | None = None
) -> None:
    """Call `what` just before the `at`-th call of a function for which `when` holds, counted from 1."""
    function, calls = getattr(owner, name), 0

    def replacement(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        if when is None or when(*args):
            calls += 1
            if calls == at:
                what()
        return function(*args, **kwargs)

    setattr(owner, name, replacement)


def _signal(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def _raise(error: Exception) -> Callable[[], None]:
    def what() -> None:
        raise error

    return what


STATUS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGUSR1: 138}


def signal_after(number: signal.Signals, seconds: float) -> Fault:
    """A signal some time after training began, wherever the run is by then; 0 if it is over."""

    def arm() -> None:
        timer = threading.Timer(seconds, _signal(number))
        timer.daemon = True
        _before(Checkpoints, "on_train_start", timer.start, at=1)

    return Fault(f"{number.name} at any time", arm, (STATUS[number], 0, -number))


def signal_in_step(number: signal.Signals, step: int) -> Fault:
    """A signal in the middle of a step of the optimizer."""

    def arm() -> None:
        _before(torch.optim.Adam, "step", _signal(number), at=step)

    return Fault(f"{number.name} in a step", arm, (STATUS[number],))


def signal_in_validation(number: signal.Signals, batch: int) -> Fault:
    """A signal in the middle of a validation."""

    def arm() -> None:
        _before(Checkpoints, "on_validation_batch_start", _signal(number), at=batch)

    return Fault(f"{number.name} in validation", arm, (STATUS[number],))


WRITING: dict[str, tuple[Any, str]] = {
    "begin": (torch, "save"),
    "middle": (checkpoint_io._HashingWriter, "_pass_on"),
    "checksum": (checkpoint_io, "_complaint"),
    "rename": (os, "replace"),
    "renamed": (files, "_force_to_disk"),
    "prune": (Path, "unlink"),
}
"""Places in the writing of a checkpoint: a function that is called there."""


def signal_in_writing(number: signal.Signals, place: str, checkpoint: int) -> Fault:
    """A signal while a checkpoint is written, at one of `WRITING`."""
    owner, name = WRITING[place]

    def about(*args: Any) -> bool:
        if place == "checksum":
            return str(args[0].name).endswith(".partial")
        if place == "renamed":
            return Path(args[0]).is_dir()
        return place not in ("rename", "prune") or str(args[-1]).endswith(".ckpt")

    def arm() -> None:
        _before(owner, name, _signal(number), at=10 * checkpoint if place == "middle" else checkpoint, when=about)

    return Fault(f"{number.name} in writing", arm, (STATUS[number], 0))


def another_order(seed: int) -> Fault:
    """No fault: the same run on another order of the data."""

    def arm() -> None:
        make = ShardOrder.__init__
        ShardOrder.__init__ = lambda self, sizes, **options: make(self, sizes, **{**options, "seed": seed})  # type: ignore[method-assign]

    return Fault("another order of the data", arm, (0,))


def failing_sample(number: int) -> Fault:
    """An exception in a data worker."""

    def arm() -> None:
        _before(TrainingLayers, "__getitem__", _raise(ZeroDivisionError("a fault")), at=number)

    return Fault("exception in a worker", arm, (99, 1))


def failing_step(step: int) -> Fault:
    """An exception in a training step, after its losses were logged."""

    def arm() -> None:
        _before(Stage, "log_losses", _raise(ZeroDivisionError("a fault")), at=step)

    return Fault("exception in a step", arm, (99, 1))


def failing_validation(batch: int) -> Fault:
    """An exception in a validation."""

    def arm() -> None:
        _before(Checkpoints, "on_validation_batch_start", _raise(ZeroDivisionError("a fault")), at=batch)

    return Fault("exception in validation", arm, (99, 1))


def full_disk(checkpoint: int) -> Fault:
    """A disk with no space left for a checkpoint; `RLIMIT_FSIZE` stands in for it."""

    def arm() -> None:
        def limit() -> None:
            import resource

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, 1 << 14))

        _before(torch, "save", limit, at=checkpoint)

    return Fault("no space left", arm, (1,))


def damage(folder: Path, share: float, *, cut: bool) -> bool:
    """Cut the newest checkpoint of a run off, or flip a bit in it, at a share of its length; whether there was one."""
    files = checkpoints_in(folder)
    if len(files) < 2:
        return False
    content = bytearray(files[0].read_bytes())
    position = int(share * (len(content) - 1))
    if cut:
        del content[position:]
    else:
        content[position] ^= 1 << (position % 8)
    files[0].write_bytes(content)
    return True
