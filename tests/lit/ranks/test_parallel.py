import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from drip_lightning.lit.ranks.parallel import DripDDPStrategy, ddp_that_compares_ranks


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
