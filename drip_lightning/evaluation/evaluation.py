"""The Lightning module that measures one method on this rank's share of the pictures."""

import sys
import time
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import DataLoader, Dataset

from drip_lightning.data.datasets import EvaluationPictures
from drip_lightning.data.sample import MattingBatch
from drip_lightning.errors import InputError
from drip_lightning.evaluation.journal import Journal, Result, task_of
from drip_lightning.evaluation.measure import as_file, measure
from drip_lightning.evaluation.method import Method
from drip_lightning.evaluation.plan import EvaluationPlan, Task
from drip_lightning.evaluation.worst import WorstCases
from drip_lightning.lit.callbacks.progress import parts_told
from drip_lightning.nn.sampler import Matte
from drip_lightning.ops.memory import is_out_of_memory
from drip_lightning.ops.trimap import unknown_mask


class Evaluation(LightningModule):
    """Runs a method's tasks that are not in the journal yet, each on one rank, and writes down what came out.

    Args:
        method: What to evaluate.
        plan: How.
        journal: Where results go; opened.
        pictures: The evaluation set.
        worst: Keeps pictures of the worst cases.
    """

    def __init__(
        self,
        method: Method,
        plan: EvaluationPlan,
        journal: Journal,
        pictures: EvaluationPictures,
        worst: WorstCases,
    ) -> None:
        super().__init__()
        self.networks = method.networks  # so that Lightning moves them
        self.method = method
        self.plan = plan
        self.journal = journal
        self.pictures = pictures
        self.worst = worst
        self._waiting: list[Task] = []

    def setup(self, stage: str) -> None:
        """Agree with the other ranks on what is left to do."""
        waiting: list[Task] = []
        if self.trainer.is_global_zero:
            done = {task_of(result) for result in self.journal.results()}
            count = len(self.pictures) if self.plan.limit is None else min(self.plan.limit, len(self.pictures))
            tasks = self.plan.tasks(self.method, list(range(count)))
            waiting = [task for task in tasks if (self.method.name, task) not in done]
        self._waiting = self.trainer.strategy.broadcast(waiting)
        self.method.progress = parts_told(self.trainer)

    def test_dataloader(self) -> DataLoader[Any]:
        """This rank's share; every rank has as many, the last of some being nothing."""
        world_size = self.trainer.world_size
        filled = [*self._waiting, *[None] * (-len(self._waiting) % world_size)]
        own = UnrepeatedDistributedSampler(
            filled, num_replicas=world_size, rank=self.trainer.global_rank, shuffle=False
        )
        return DataLoader(_TaskPictures(self.pictures, filled), batch_size=None, sampler=own)

    def test_step(self, batch: "tuple[Task, MattingBatch | str] | None", batch_index: int) -> None:
        """Matte a picture, measure it, write it down; what cannot be read or matted is written down as that."""
        if batch is None:
            return
        task, picture = batch
        if isinstance(picture, str):
            self._fail(task, picture)
            return
        try:
            mattes, seconds = self._matte(picture, task)
        except InputError as error:
            self._fail(task, f"{picture['key'][0]}: {error}")
            return
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            key = picture["key"][0]
            self._fail(task, f"{key} is too big for the memory of {self.device}: give a smaller tile size")
            return
        files = [as_file(matte, picture["trimap"], takes_known=self.method.takes_known_alpha) for matte in mattes]
        rows = dict(zip(self.plan.rows(self.method, task.steps), files, strict=True))
        height, width = picture["image"].shape[-2:]
        foreground = self.method.brings_foreground(picture["key"][0])
        measured = partial(
            measure,
            batch=picture,
            region=self.plan.region,
            foreground=foreground,
            channel_reduction=self.plan.foreground_channels,
        )
        result = _result(
            self.method,
            task,
            key=picture["key"][0],
            height=height,
            width=width,
            unknown_pixels=int(unknown_mask(picture["trimap"]).sum()),
            seconds=seconds,
            rows={row: measured(matte) for row, matte in rows.items()},
        )
        if task.seed == self.plan.seeds[0]:
            for row, matte in rows.items():
                alpha_mad = result["rows"][row]["metrics"][f"alpha_mad_{self.plan.region}"]
                self.worst.see(row, task.number, alpha_mad, picture, matte)
        self.journal.add(result, rank=self.trainer.global_rank)

    def on_test_end(self) -> None:
        """Wait for every rank's results."""
        self.trainer.strategy.barrier()

    def _matte(self, picture: MattingBatch, task: Task) -> tuple[tuple[Matte, ...], float]:
        began = self._now()
        mattes = self.method.mattes(picture, steps=task.steps, seeds=self.plan.member_seeds(task.seed))
        return mattes, self._now() - began

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _fail(self, task: Task, reason: str) -> None:
        print(f"left out: {reason}", file=sys.stderr)
        self.journal.add(_result(self.method, task, error=reason), rank=self.trainer.global_rank)


class _TaskPictures(Dataset[Any]):
    """Each task with its picture, or with the reason why that cannot be read."""

    def __init__(self, pictures: EvaluationPictures, tasks: list[Task | None]) -> None:
        self._pictures = pictures
        self._tasks = tasks

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitem__(self, place: int) -> "tuple[Task, MattingBatch | str] | None":
        task = self._tasks[place]
        if task is None:
            return None
        try:
            return task, self._pictures[task.number]
        except InputError as error:
            return task, str(error)


def _result(
    method: Method,
    task: Task,
    *,
    key: str = "",
    height: int = 0,
    width: int = 0,
    unknown_pixels: int = 0,
    seconds: float = 0.0,
    rows: dict[str, Any] | None = None,
    error: str | None = None,
) -> Result:
    return Result(
        method=method.name,
        number=task.number,
        seed=task.seed,
        steps=task.steps,
        key=key,
        height=height,
        width=width,
        unknown_pixels=unknown_pixels,
        seconds=seconds,
        rows=rows or {},
        error=error,
    )
