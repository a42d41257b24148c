import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from drip_lightning.errors import InputError
from drip_lightning.lit.ranks.parallel import DripDDPStrategy, DripFSDPStrategy, check_devices, ddp_that_compares_ranks


def _strategy(strategy: str, devices: int) -> type:
    trainer = Trainer(accelerator="cpu", devices=devices, strategy=strategy, logger=False, enable_checkpointing=False)
    return type(trainer.strategy)


@pytest.mark.parametrize("name", ["auto", "ddp"])
def test_several_devices_compare_their_ranks_inside_and_nobody_else_s_do(name: str) -> None:
    with ddp_that_compares_ranks():
        assert _strategy(name, 2) is DripDDPStrategy
    assert _strategy(name, 2) is DDPStrategy


def test_one_device_needs_no_ranks() -> None:
    with ddp_that_compares_ranks():
        assert _strategy("auto", 1) is SingleDeviceStrategy


@pytest.mark.parametrize("devices", [4, "2", -2, [0, 1], "0,1"])
def test_devices_that_are_not_there_do_not_become_ranks_on_the_cpu(
    devices: int | str | list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with pytest.raises(InputError, match="no GPU: set devices to 1, or accelerator to cpu"):
        check_devices("auto", devices)
    check_devices("cpu", devices)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    check_devices("auto", devices)


@pytest.mark.parametrize("devices", ["auto", -1, "-1", 1, "1"])
def test_one_device_or_whatever_is_there_needs_no_gpu(devices: int | str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    check_devices("auto", devices)


def test_weights_are_shared_out_among_gpus_alone() -> None:
    with pytest.raises(InputError, match=r"^trainer\.strategy: FSDP needs GPUs; take configs/hardware/cpu\.yaml, or"):
        DripFSDPStrategy(parallel_devices=[torch.device("cpu")]).setup_environment()
