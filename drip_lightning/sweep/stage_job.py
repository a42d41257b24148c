"""One stage, run in a process of its own: by a launcher here, or by Slurm on another machine."""

import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drip_lightning.errors import ExitStatus
from drip_lightning.files import write_text_whole
from drip_lightning.sweep.plan import STAGES_FOLDER, PlannedStage
from drip_lightning.sweep.settings import TEST
from drip_lightning.sweep.stage_folder import Finished, StageFolder

RunDrip = Callable[[list[str]], int]
"""Runs `drip` with these arguments and returns its exit status."""


@dataclass(frozen=True)
class StageJob:
    """All that a process needs to run a stage, resume it, or see that it is finished.

    Attributes:
        stage: The stage.
        stages_folder: Where the stages of the sweep are.
        run_drip: Runs `drip` in this process.
        pictures: How many mattes a test keeps.
    """

    stage: PlannedStage
    stages_folder: Path
    run_drip: RunDrip
    pictures: int = 0

    @property
    def folder(self) -> StageFolder:
        """The stage's folder."""
        return StageFolder(self.stages_folder / self.stage.key)

    def arguments(self) -> list[str]:
        """What `drip` is called with; a configuration is written down first, with the folders as they are now."""
        if self.stage.kind != TEST:
            config = self.folder.path / "config.yaml"
            write_text_whole(config, self.stage.config.replace(STAGES_FOLDER, str(self.stages_folder)))
            return ["fit", f"--config={config}", "--ckpt_path=auto"]
        tested = self.stages_folder / self.stage.inputs[0]
        return ["test", str(tested), f"--out={self.folder.path}", *self.stage.option_words]

    def __call__(self) -> int:
        """Run the stage with its output in its log, unless it is finished.

        Returns:
            0, `ExitStatus.BUSY`, or the exit status with which it failed.
        """
        with self.folder.locked() as free:
            if not free:
                return ExitStatus.BUSY
            if self.folder.finished() is not None:
                return 0
            began = time.time()
            try:
                with _output_to(self.folder.log):
                    print(f"drip {' '.join(arguments := self.arguments())}", flush=True)
                    status = self.run_drip(arguments) or self._keep_pictures()
            except BaseException:
                self.folder.add_seconds(time.time() - began)
                raise
            seconds = time.time() - began
            if status == 0:
                self.folder.finish(Finished(self.folder.seconds_before() + seconds, _peak_bytes(), time.time()))
            else:
                self.folder.add_seconds(seconds)
            return status

    def _keep_pictures(self) -> int:
        if self.stage.kind == TEST and self.pictures:
            from drip_lightning.sweep.pictures import keep_pictures

            tested, own = self.stages_folder / self.stage.inputs[0], self.folder.path / "pictures"
            options = {name: self.stage.options.get(name) for name in ("steps", "moved")}
            keep_pictures(tested, own, count=self.pictures, **options)
        return 0

    def checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        """Submitit's hook when Slurm takes the machine away: the same job again, which resumes where this one is."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Append to a file what this process and its children print, tracebacks included."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    except BaseException:
        import traceback

        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, old in enumerate(kept, start=1):
            os.dup2(old, number)
            os.close(old)


def _peak_bytes() -> int:
    """Most memory this process held, and the greatest of its children, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_maxrss for usage in usages) * unit
