import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from drip_lightning.errors import InputError, Stopped
from drip_lightning.lit.resume.checkpoint_io import CheckpointFiles, checkpoints_in, newest_checkpoint
from drip_lightning.lit.resume.checkpoints import Checkpoints
from drip_lightning.lit.resume.random_state import collect_random_state, restore_random_state


class _Counter(LightningModule):
    """Its only weight is the number of steps taken; it keeps every global random number that it drew."""

    def __init__(self, at: int = -1, what: Any = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.at, self.what = at, what
        self.drawn: list[float] = []
        self.validated: list[int] = []

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor:
        if self.global_step == self.at:
            self.what()
        self.drawn.append(torch.rand(()).item() + random.random() + np.random.random())  # noqa: NPY002
        return -self.weight

    def validation_step(self, batch: Tensor, batch_index: int) -> None:
        self.validated.append(self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["drip"] = {"format": 2}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def _count_to(
    steps: int, folder: Path, module: _Counter | None = None, *, ckpt_path: Path | None = None, **options: int
) -> _Counter:
    module = module or _Counter()
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        max_epochs=-1,
        val_check_interval=options.pop("validate_every", 100),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        callbacks=[Checkpoints(str(folder), **options)],
        plugins=[CheckpointFiles()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = DataLoader(torch.zeros(100))
    trainer.fit(module, data, DataLoader(torch.zeros(2)), ckpt_path=ckpt_path)
    return module


def _steps(folder: Path) -> list[int]:
    found = [torch.load(path, weights_only=True) for path in folder.iterdir()]
    assert all(checkpoint["state_dict"]["weight"] == checkpoint["run"]["step"] for checkpoint in found)
    return sorted(checkpoint["global_step"] for checkpoint in found)


@pytest.mark.parametrize(("keep", "kept"), [(0, []), (1, [7]), (2, [6, 7]), (3, [4, 6, 7]), (-1, [2, 4, 6, 7])])
def test_the_newest_checkpoints_are_kept_and_the_last_step_in_any_case(
    tmp_path: Path, keep: int, kept: list[int]
) -> None:
    _count_to(7, tmp_path, every_n_train_steps=2, keep=keep)
    assert _steps(tmp_path) == kept


def test_there_is_one_before_each_validation_which_is_made_up_for(tmp_path: Path) -> None:
    class Dying(_Counter):
        def validation_step(self, batch: Tensor, batch_index: int) -> None:
            raise MemoryError

    with pytest.raises(MemoryError):
        _count_to(9, tmp_path, Dying(), validate_every=5)
    assert _steps(tmp_path) == [5]
    module = _count_to(9, tmp_path, ckpt_path=newest_checkpoint(tmp_path), validate_every=5)
    assert module.validated == [5, 5]
    assert len(module.drawn) == 4


def test_a_validation_due_after_the_last_step_is_made_up_for(tmp_path: Path) -> None:
    class Dying(_Counter):
        def validation_step(self, batch: Tensor, batch_index: int) -> None:
            raise MemoryError

    with pytest.raises(MemoryError):
        _count_to(5, tmp_path, Dying(), validate_every=5)
    module = _count_to(5, tmp_path, ckpt_path=newest_checkpoint(tmp_path), validate_every=5)
    assert (module.validated, module.drawn) == ([5, 5], [])
    assert not torch.load(newest_checkpoint(tmp_path), weights_only=True)["run"]["validation_due"]


def test_a_run_that_goes_on_prunes_the_old(tmp_path: Path) -> None:
    _count_to(4, tmp_path, every_n_train_steps=2, keep=2)
    _count_to(8, tmp_path, every_n_train_steps=2, keep=2, ckpt_path=newest_checkpoint(tmp_path))
    assert _steps(tmp_path) == [6, 8]


def test_a_damaged_newer_file_takes_no_sound_ones_place(tmp_path: Path) -> None:
    _count_to(6, tmp_path, every_n_train_steps=2, keep=2)
    checkpoints_in(tmp_path)[0].write_bytes(b"")
    with pytest.warns(UserWarning, match="looking for the one before it"):
        before = newest_checkpoint(tmp_path)
    _count_to(5, tmp_path, keep=1, ckpt_path=before)
    assert [file.stem for file in checkpoints_in(tmp_path)] == ["step=0000006", "step=0000005"]


def test_a_run_that_fails_is_saved_where_it_failed(tmp_path: Path) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _count_to(6, tmp_path, _Counter(5, fail), every_n_train_steps=2)
    assert _steps(tmp_path) == [4, 5]
    _count_to(6, tmp_path, every_n_train_steps=2, ckpt_path=newest_checkpoint(tmp_path))
    assert _steps(tmp_path) == [5, 6]


def test_what_is_not_finite_is_not_saved_when_a_run_fails(tmp_path: Path) -> None:
    module = _Counter()

    def fail() -> None:
        module.weight.data.fill_(torch.nan)
        raise ZeroDivisionError

    module.at, module.what = 5, fail
    with pytest.raises(ZeroDivisionError):
        _count_to(6, tmp_path, module, every_n_train_steps=2)
    assert _steps(tmp_path) == [2, 4]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_stops_after_the_step_and_gives_handlers_back(tmp_path: Path, number: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=r"stopped after step 4: saved .*step=0000004") as stop:
        _count_to(9, tmp_path, _Counter(3, lambda: os.kill(os.getpid(), number)))
    assert stop.value.signal_number == number
    assert signal.getsignal(number) == before
    assert _steps(tmp_path) == [4]


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    module = _Counter()

    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        module.drawn.append(-1)

    module.at, module.what = 3, twice
    with pytest.raises(SystemExit):
        _count_to(9, tmp_path, module)
    signal.signal(signal.SIGINT, handler)  # Lightning ignores further ones
    assert -1 not in module.drawn
    assert not tmp_path.exists() or _steps(tmp_path) == []


def test_random_generators_go_on(tmp_path: Path) -> None:
    torch.manual_seed(0), random.seed(0), np.random.seed(0)  # noqa: NPY002
    whole = _count_to(6, tmp_path / "whole", validate_every=2).drawn
    torch.manual_seed(0), random.seed(0), np.random.seed(0)  # noqa: NPY002
    first = _Counter(3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stopped):
        _count_to(6, tmp_path / "parts", first, validate_every=2)
    torch.manual_seed(9), random.seed(9), np.random.seed(9)  # noqa: NPY002
    second = _count_to(6, tmp_path / "parts", ckpt_path=newest_checkpoint(tmp_path / "parts"), validate_every=2)
    assert first.drawn + second.drawn == whole


def test_random_state_round_trip() -> None:
    state = collect_random_state()
    drawn = [(random.random(), np.random.normal(), torch.rand(3).tolist()) for _ in range(2)]  # noqa: NPY002
    restore_random_state(state)
    assert [(random.random(), np.random.normal(), torch.rand(3).tolist()) for _ in range(2)] == drawn  # noqa: NPY002


def test_a_checkpoint_of_format_1_goes_on_by_its_step(tmp_path: Path) -> None:
    """They had Lightning's counters, and neither random state nor place."""
    _count_to(3, tmp_path)
    checkpoint = torch.load(newest_checkpoint(tmp_path), weights_only=True)
    del checkpoint["run"]
    old = tmp_path / "old.ckpt"
    torch.save(checkpoint | {"drip": {"format": 1}, "loops": {"fit_loop": {"anything": 0}}}, old)
    assert len(_count_to(5, tmp_path / "new", ckpt_path=old).drawn) == 2
    assert _steps(tmp_path / "new") == [5]


@pytest.mark.parametrize("options", [{"every_n_train_steps": 0}, {"keep": -2}])
def test_impossible_settings_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"^checkpoint: expected"):
        Checkpoints(**options)
