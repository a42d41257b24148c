"""Training on many ranks: Lightning's strategies, with a preflight, bounded waiting, and an eye on ranks that die."""

import inspect
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import MappingProxyType
from typing import Any, cast

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy, ParallelStrategy, StrategyRegistry
from torch.nn.parallel import DistributedDataParallel

from drip_lightning.errors import InputError, RunError
from drip_lightning.lit.ranks.preflight import Facts, agree, open_store

_DDP_OPTIONS = inspect.signature(DistributedDataParallel).parameters
_LEAVE_BUFFERS: dict[str, Any] = {
    "forward_sync_buffers" if "forward_sync_buffers" in _DDP_OPTIONS else "broadcast_buffers": False
}
"""Buffers are the same on all ranks as it is. DDP would copy them before every forward pass, and hang a validation in
which some ranks have a picture more than others."""


class ComparesRanks(ParallelStrategy):
    """A strategy whose ranks make sure that they run the same before they form a process group."""

    facts: Facts = MappingProxyType({})
    """What this rank knows of the run; `drip` sets it."""
    preflight_timeout_s: float

    def setup_environment(self) -> None:
        """Compare notes, then form the process group at the same address."""
        environment = self.cluster_environment
        assert environment is not None
        cast(DDPStrategy | FSDPStrategy, self).set_world_ranks()
        rank, world_size = environment.global_rank(), environment.world_size()
        # kept: the process group meets in the same store
        self._store = open_store(
            rank=rank,
            address=environment.main_address,
            port=environment.main_port,
            timeout_s=self.preflight_timeout_s,
        )
        agree(self.facts, self._store, rank=rank, world_size=world_size)
        super().setup_environment()

    def await_ranks(self) -> None:
        """Wait for the ranks that this process started; call it when all work is done.

        Raises:
            RunError: one of them failed, so the run did.
        """
        started: list[subprocess.Popen[bytes]] = getattr(self.launcher, "procs", [])
        for rank, process in enumerate(started, start=1):
            status = process.wait(self.preflight_timeout_s)
            if status:
                raise RunError(
                    f"rank {rank} ended with status {status}, so the run failed: its own output says why; resume with "
                    "--ckpt_path auto"
                )


class DripDDPStrategy(ComparesRanks, DDPStrategy):
    """Every rank has all weights and a share of each batch (DDP): what `trainer.strategy: ddp` means here."""

    def __init__(
        self,
        timeout: timedelta = timedelta(minutes=20),
        preflight_timeout_s: float = 300.0,
        find_unused_parameters: bool = False,
        gradient_as_bucket_view: bool = True,
        process_group_backend: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Say how long ranks wait for each other.

        Args:
            timeout: A rank that waits longer than this for another gives up, and the run fails.
            preflight_timeout_s: So long may the slowest rank take to start, in seconds.
            find_unused_parameters: Allow parameters without a gradient, at a price; only for debugging.
            gradient_as_bucket_view: Save one copy of the gradients.
            process_group_backend: nccl on GPUs and gloo on CPUs, unless set.
            kwargs: As Lightning's own.
        """
        super().__init__(
            timeout=timeout,
            find_unused_parameters=find_unused_parameters,
            gradient_as_bucket_view=gradient_as_bucket_view,
            process_group_backend=process_group_backend,
            **_LEAVE_BUFFERS,
            **kwargs,
        )
        self.preflight_timeout_s = preflight_timeout_s


class DripFSDPStrategy(ComparesRanks, FSDPStrategy):
    """Every rank has a share of the weights, too (FSDP): for networks that do not fit one GPU's memory."""

    def __init__(
        self,
        timeout: timedelta = timedelta(minutes=20),
        preflight_timeout_s: float = 300.0,
        **kwargs: Any,
    ) -> None:
        """Say how long ranks wait for each other.

        Args:
            timeout: A rank that waits longer than this for another gives up, and the run fails.
            preflight_timeout_s: So long may the slowest rank take to start, in seconds.
            kwargs: As Lightning's own.
        """
        super().__init__(timeout=timeout, auto_wrap_policy={BasicTransformerBlock, ResnetBlock2D}, **kwargs)
        self.preflight_timeout_s = preflight_timeout_s

    def setup_environment(self) -> None:
        """As all ranks do, on GPUs.

        Raises:
            InputError: this is not a GPU.
        """
        if self.root_device.type != "cuda":
            raise InputError("trainer.strategy: FSDP needs GPUs; take configs/hardware/cpu.yaml, or ddp.yaml")
        super().setup_environment()


def check_devices(accelerator: str, devices: int | str | list[int]) -> None:
    """Keep ranks that are meant for GPUs from starting on the CPU, each with all of the weights.

    Args:
        accelerator: As Lightning takes it, such as auto, gpu, cpu.
        devices: As Lightning takes them: their number, or which.

    Raises:
        InputError: a GPU, or more than one device of whatever there is, and there is no GPU.
    """
    if torch.accelerator.is_available():
        return
    if accelerator in ("gpu", "cuda"):
        raise InputError(f"accelerator: {accelerator}, and this machine has no GPU: set accelerator to cpu, or to auto")
    if accelerator == "auto" and devices not in ("auto", -1, "-1", 1, "1"):
        raise InputError(
            f"devices: {devices}, and this machine has no GPU: set devices to 1, or accelerator to cpu if that many "
            "processes on the CPU are meant"
        )


@contextmanager
def ddp_that_compares_ranks() -> Iterator[None]:
    """Make `ddp`, which `auto` means where there are several devices, this project's for the trainers built inside.

    Lightning resolves both names by its registry; afterwards, and for other trainers of the process, it is as it was.
    """
    before = StrategyRegistry["ddp"]
    StrategyRegistry.register("ddp", DripDDPStrategy, description=str(DripDDPStrategy.__doc__), override=True)
    try:
        yield
    finally:
        StrategyRegistry["ddp"] = before
