"""Says where a run is stuck, and can end it: waiting in silence costs a cluster's hours."""

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from drip_lightning.errors import ExitStatus, InputError

_EVALUATION = "lightning/pytorch/loops/evaluation_loop.py"
_PHASES = (
    ("torch/distributed/", "", "in a collective, waiting for other ranks"),
    ("drip_lightning/lit/resume/checkpoint_io.py", "write_checkpoint", "writing a checkpoint"),
    ("lightning/pytorch/trainer/trainer.py", "save_checkpoint", "writing a checkpoint"),
    ("torch/utils/data/", "", "waiting for data"),
    ("lightning/pytorch/loops/fetchers.py", "", "waiting for data"),
    ("torch/autograd/graph.py", "_engine_run_backward", "in the backward pass"),
    ("torch/optim/", "", "in the optimizer"),
    (_EVALUATION, "", "in validation"),
    ("lightning/pytorch/loops/optimization/", "", "in the training step"),
)
"""Part of a file's path and a function's name, or "" for any, to what is going on; the innermost frame decides."""


class Watchdog(Callback):
    """Reports a rank that has made no progress for long: one line with rank, phase, seconds and place in the code."""

    def __init__(self, warn_after_s: float = 300.0, abort_after_s: float | None = None) -> None:
        """Set how long a rank may take.

        Args:
            warn_after_s: Report after so many seconds without a finished batch or checkpoint, and again each time as
                long as that has passed.
            abort_after_s: End the process after so many seconds, with status 70 and the stacks of all threads, so
                that the launcher ends the other ranks; never, if null.
        """
        if warn_after_s <= 0 or (abort_after_s is not None and abort_after_s <= 0):
            raise InputError(f"watchdog: expected seconds above 0, got {warn_after_s} and {abort_after_s}")
        self.warn_after_s = warn_after_s
        self.abort_after_s = abort_after_s
        self._rank, self._ranks = 0, 1
        self._beat = time.monotonic()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin to watch."""
        self._rank, self._ranks = trainer.global_rank, trainer.world_size
        self._note()
        self._ended.clear()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """End watching."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End watching a run that fails."""
        self._ended.set()

    def _note(self, *_: Any, **__: Any) -> None:
        self._beat = time.monotonic()

    on_train_start = on_train_batch_start = on_train_batch_end = on_save_checkpoint = _note
    on_validation_batch_start = on_validation_batch_end = on_validation_end = _note
    on_test_batch_start = on_test_batch_end = on_predict_batch_start = on_predict_batch_end = _note

    def _watch(self) -> None:
        reported = 0
        while not self._ended.wait(min(1.0, self.warn_after_s / 4)):
            stuck_s = time.monotonic() - self._beat
            if self.abort_after_s is not None and stuck_s > self.abort_after_s:
                self._report(stuck_s, "; ending the run")
                faulthandler.dump_traceback(2, all_threads=True)
                os._exit(ExitStatus.STUCK)
            reported = reported if stuck_s > self.warn_after_s else 0
            if stuck_s > self.warn_after_s * (reported + 1):
                self._report(stuck_s, "")
                reported += 1

    def _report(self, stuck_s: float, what_follows: str) -> None:
        frame = sys._current_frames().get(threading.main_thread().ident or 0)
        phase, place = phase_of(frame, ranks=self._ranks)
        who = f"watchdog: rank {self._rank} of {self._ranks} stuck for {stuck_s:.0f} s"
        os.write(2, f"{who} {phase} ({place}){what_follows}\n".encode())


def phase_of(frame: FrameType | None, *, ranks: int = 1) -> tuple[str, str]:
    """What a thread is doing, and where in the code it is.

    Args:
        frame: The thread's innermost frame.
        ranks: How many ranks there are.
    """
    codes = [inner.f_code for inner in _outwards(frame)]
    phases = (
        phase
        for code in codes
        for part, name, phase in _PHASES
        if part in code.co_filename and name in ("", code.co_name)
    )
    phase = next(phases, "between phases")
    if "backward" in phase and ranks > 1:
        phase += ", or waiting for other ranks' gradients"
    if phase != "in validation" and any(_EVALUATION in code.co_filename for code in codes):
        phase += ", in validation"
    place = f"{codes[0].co_name}, {'/'.join(Path(codes[0].co_filename).parts[-3:])}:{frame.f_lineno}" if frame else ""
    return phase, place


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
