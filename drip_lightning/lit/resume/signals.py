"""Signals that ask a run to stop: noted at once, obeyed between two steps."""

import os
import signal
import threading
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Trainer

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Ctrl-C; what `kill`, schedulers and shutdowns send; and Slurm's warning ahead of a time limit."""


class StopSignals:
    """Notes the first stop signal; a second Ctrl-C interrupts at once, saving nothing."""

    def __init__(self) -> None:
        self._received = 0
        self._previous: dict[int, Any] = {}

    def install(self, trainer: Trainer) -> None:
        """Take the signals over from Lightning, with what it received; only a process's main thread can."""
        self._received = int(signal.SIGTERM) if trainer.received_sigterm else 0
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}

    def restore(self) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def agreed(self, trainer: Trainer) -> int:
        """Number of the signal that some rank received, or 0: the same answer on every rank, all of which must ask."""
        if trainer.world_size == 1:
            return self._received
        received = torch.tensor(self._received, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(received, reduce_op="max"))

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._received and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self._received:
            self._received = number
            hint = "; Ctrl-C again stops at once, unsaved" if number == signal.SIGINT else ""
            message = f"\n{signal.Signals(number).name}: stopping after this step{hint}\n"
            os.write(2, message.encode())  # print() must not be called from a handler


def ignore_stop_signals(worker: int) -> None:
    """Let data workers leave the decision to the process they work for; a `worker_init_fn`.

    Ctrl-C in a terminal, and Slurm, signal every process: a worker that ended then would take the run with it.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
