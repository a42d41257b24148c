"""What a whole run costs: memory of a rank, bytes of a checkpoint, operations and hours."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from drip_lightning.cost.step import StepCost, count_matte, count_step
from drip_lightning.cost.without_content import WithoutContent
from drip_lightning.data.evaluation_sets import sets_by_name
from drip_lightning.data.shards.index import read_index
from drip_lightning.errors import InputError
from drip_lightning.lit.averaging import NoAveraging
from drip_lightning.lit.datamodule import MattingDataModule
from drip_lightning.lit.ranks.parallel import DripFSDPStrategy
from drip_lightning.lit.stage import Stage

CONTEXT_BYTES = 2**30
"""Of a card's memory, what the driver, the libraries and the allocator's gaps take: an estimate."""
_SIDE = 64


@dataclass(frozen=True)
class TrainerPlan:
    """What of the trainer decides the cost.

    Attributes:
        ranks: Devices that share a step.
        accumulated: Batches of each rank that make up a step.
        precision: As Lightning names it.
        on_gpu: Whether the devices are GPUs.
        sharded: Whether weights, gradients and optimizer are divided between the ranks (FSDP).
        steps: Of the optimizer.
        validations: How often the evaluation pictures are scored.
        validated: Share of them, or how many batches of each rank.
    """

    ranks: int = 1
    accumulated: int = 1
    precision: str = "32-true"
    on_gpu: bool = True
    sharded: bool = False
    steps: int = 0
    validations: int = 0
    validated: float | int = 1.0

    @classmethod
    def of(cls, settings: Mapping[str, Any], *, ranks: int | None = None) -> "TrainerPlan":
        """Read a configuration's `trainer`, its strategy made.

        Args:
            settings: By name.
            ranks: How many there will be, where the configuration leaves that to the machine.

        Raises:
            InputError: it has no number of steps.
        """
        if settings["max_steps"] < 0:
            raise InputError("trainer.max_steps: give a number of steps, or nobody can tell what they cost")
        devices, every = settings["devices"], settings["val_check_interval"]
        known = len(devices) if isinstance(devices, list) else int(devices) if str(devices).isdigit() else 1
        limit = settings["limit_val_batches"]
        return cls(
            ranks=ranks or known * settings["num_nodes"],
            accumulated=settings["accumulate_grad_batches"],
            precision=str(settings["precision"] or "32-true"),
            on_gpu=settings["accelerator"] != "cpu",
            sharded=isinstance(settings["strategy"], DripFSDPStrategy) or settings["strategy"] == "fsdp",
            steps=settings["max_steps"],
            validations=settings["max_steps"] // every if isinstance(every, int) and every > 0 else 0,
            validated=1.0 if limit is None else limit,
        )


@dataclass(frozen=True)
class RunCost:
    """What a run costs; bytes are of one rank where not said otherwise.

    Attributes:
        trainer: As configured.
        samples: Of a step, of all ranks.
        size: Side of the pictures.
        trained: Weights that are trained.
        frozen: Weights that are not.
        step: What a batch of one rank costs.
        memory: What takes how many bytes, at the moment when they are most.
        checkpoint: What of a checkpoint takes how many bytes.
        pictures: Evaluation pictures of one validation; none if the folder is not there.
        matte: Operations of one of them, by part.
    """

    trainer: TrainerPlan
    samples: int
    size: int
    trained: int
    frozen: int
    step: StepCost
    memory: dict[str, int]
    checkpoint: dict[str, int]
    pictures: int | None
    matte: dict[str, float] = field(default_factory=dict)

    @property
    def batch(self) -> int:
        """Samples that one rank is given at a time."""
        return self.samples // (self.trainer.ranks * self.trainer.accumulated)

    @property
    def peak_bytes(self) -> int:
        """Of one rank, all together."""
        return sum(self.memory.values())

    @property
    def training_operations(self) -> float:
        """Of all steps and ranks."""
        return self.step.total * self.samples * self.trainer.steps

    @property
    def validation_operations(self) -> float:
        """Of all validations and ranks."""
        return sum(self.matte.values()) * (self.pictures or 0) * self.trainer.validations

    def hours(self, tflops: float) -> float:
        """Of all ranks together at so many TFLOP/s each: what is reached, not what the maker promises."""
        return (self.training_operations + self.validation_operations) / (tflops * 1e12 * self.trainer.ranks) / 3600

    def fitting_batch(self, card_bytes: int) -> int:
        """Samples that one rank could be given at a time, by what each of this batch's takes; 0 if none fits."""
        fixed = self.peak_bytes - self.step.peak_bytes + CONTEXT_BYTES
        return max(0, int((card_bytes - fixed) / (self.step.peak_bytes / self.batch)))


def cost_of(stage: Stage, data: MattingDataModule, trainer: TrainerPlan) -> RunCost:
    """Count what a configured run costs: nothing is loaded or computed, and no data is needed.

    Args:
        stage: As configured, its networks not built; it cannot be used for anything else afterwards.
        data: As configured; of its folders the evaluation sets alone are looked at, if they are there.
        trainer: What else decides.

    Raises:
        InputError: the ranks cannot share a step, or the networks cannot be.
    """
    each = trainer.ranks * trainer.accumulated
    if data.batch_size % each:
        raise InputError(
            f"data.batch_size: {data.batch_size} samples a step cannot be shared evenly by {trainer.ranks} ranks with "
            f"trainer.accumulate_grad_batches={trainer.accumulated}; take a multiple of {each}"
        )
    empty = WithoutContent(stage, on_gpu=trainer.on_gpu)
    trained = [weight for weight in stage.parameters() if weight.requires_grad]
    frozen = [weight for weight in stage.parameters() if not weight.requires_grad]
    states = int(_bytes(trained) * optimizer_ratio(stage)) if trained else 0
    averages = 0 if isinstance(stage.averaging, NoAveraging) else _bytes(trained)
    state_dict = stage.state_dict()
    left_out = set(stage.left_out(state_dict))
    written = _bytes([value for name, value in state_dict.items() if name not in left_out])
    step = count_step(empty, samples=data.batch_size // each, size=data.image_size, precision=trainer.precision)
    matte = count_matte(empty, step, size=data.image_size)
    divided = trainer.ranks if trainer.sharded else 1
    return RunCost(
        trainer,
        data.batch_size,
        data.image_size,
        sum(weight.numel() for weight in trained),
        sum(weight.numel() for weight in frozen),
        step,
        memory={
            "weights": (_bytes(trained) + _bytes(frozen)) // divided,
            "gradients": _bytes(trained) // divided,
            "optimizer": states // divided,
            "averages": averages,
            "batch": step.peak_bytes,
        },
        checkpoint={"weights": written, "optimizer": states, "averages": averages},
        pictures=_pictures(data, trainer),
        matte=matte,
    )


def optimizer_ratio(stage: Stage) -> float:
    """Bytes of a stage's optimizer's state for each byte of a weight, as a step on a small one shows."""
    weight = torch.nn.Parameter(torch.zeros(_SIDE, _SIDE))
    optimizer = stage.optimizer([weight])
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    values = [value for value in optimizer.state[weight].values() if isinstance(value, Tensor) and value.numel() > 1]
    return _bytes(values) / _bytes([weight])


def _pictures(data: MattingDataModule, trainer: TrainerPlan) -> int | None:
    if data.evaluation is None or not trainer.validations:
        return 0
    try:
        found = [read_index(folder).samples for folder in sets_by_name(data.evaluation).values()]
    except InputError:
        return None
    limit = trainer.validated
    return sum(int(limit * own) if isinstance(limit, float) else min(own, limit * trainer.ranks) for own in found)


def _bytes(tensors: list[Any]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
