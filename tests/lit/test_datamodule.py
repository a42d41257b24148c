from itertools import chain, islice
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor

from drip_lightning.data.augment import Augmentation
from drip_lightning.data.sample import MattingBatch, check_batch
from drip_lightning.errors import InputError
from drip_lightning.lit.datamodule import MattingDataModule
from drip_lightning.lit.resume.checkpoint_io import checkpoint_name
from drip_lightning.lit.resume.checkpoints import Checkpoints
from drip_lightning.ops.compositing import over
from tests.shards import foreground_shards

SMALL = {
    "image_size": 24,
    "batch_size": 4,
    "num_workers": 0,
    "augmentation": Augmentation(trimap_dilation=(0, 4), trimap_erosion=(0, 4)),
}


class _Recorder(L.LightningModule):
    """Learns nothing; remembers the numbers and pictures it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.training_batches: list[MattingBatch] = []
        self.validation_batches: list[MattingBatch] = []

    def training_step(self, batch: MattingBatch, batch_idx: int) -> STEP_OUTPUT:
        self.training_batches.append(check_batch(batch))
        return (self.weight - batch["image"].mean()) ** 2

    def validation_step(self, batch: MattingBatch, batch_idx: int) -> None:
        self.validation_batches.append(check_batch(batch))

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    @property
    def numbers(self) -> list[list[int]]:
        return [batch["number"] for batch in self.training_batches]


def _trainer(steps: int, **options: Any) -> L.Trainer:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return L.Trainer(accelerator="cpu", devices=1, max_steps=steps, num_sanity_val_steps=0, **{**quiet, **options})


def _fit(folders: dict[str, str], steps: int, *, trainer: dict[str, Any] | None = None, **options: Any) -> _Recorder:
    module = _Recorder()
    folders = {**folders, "evaluation": None}
    _trainer(steps, **(trainer or {})).fit(module, MattingDataModule(**folders, **{**SMALL, **options}))
    return module


def _equal(first: MattingBatch, second: MattingBatch) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) if isinstance(first[name], Tensor) else first[name] == second[name]
        for name in first
    )


def test_batches_are_composites_with_true_trimaps(shard_folders: dict[str, str]) -> None:
    module = _fit(shard_folders, 16)
    assert module.numbers == [list(range(4 * step, 4 * step + 4)) for step in range(16)]
    for batch in module.training_batches:
        composite = over(batch["foreground"], batch["alpha"], batch["background"])
        assert (batch["image"] - composite).abs().max() <= 0.5 / 255 + 1e-6
        assert (batch["alpha"][batch["trimap"] == 1] == 1).all()
        assert (batch["alpha"][batch["trimap"] == 0] == 0).all()
        assert (batch["alpha"] > 0).flatten(1).any(1).all()


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(shard_folders: dict[str, str], workers: int) -> None:
    alone = _fit(shard_folders, 16).training_batches
    shared = _fit(shard_folders, 16, num_workers=workers).training_batches
    assert len(alone) == len(shared) == 16
    assert all(_equal(first, second) for first, second in zip(alone, shared, strict=True))


def test_seed_changes_the_samples(shard_folders: dict[str, str]) -> None:
    first, second = (_fit(shard_folders, 1, seed=seed).training_batches[0] for seed in (0, 1))
    assert first["number"] == second["number"]
    assert not torch.equal(first["image"], second["image"])


def test_composing_in_the_worker_gives_the_same(shard_folders: dict[str, str]) -> None:
    device = _fit(shard_folders, 3, compose_on="device").training_batches
    worker = _fit(shard_folders, 3, compose_on="worker", num_workers=1).training_batches
    for first, second in zip(device, worker, strict=True):
        for name in ("image", "alpha", "trimap", "foreground", "background"):
            assert torch.equal(first[name], second[name])


@pytest.mark.parametrize("accumulate", [1, 2])
def test_resumed_run_goes_on_with_the_next_samples(
    shard_folders: dict[str, str], tmp_path: Path, accumulate: int
) -> None:
    options = {"accumulate_grad_batches": accumulate}
    whole = _fit(shard_folders, 6, trainer=options)
    data = MattingDataModule(**{**shard_folders, "evaluation": None}, **SMALL)
    trainer = _trainer(4, **options)
    trainer.fit(first := _Recorder(), data)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    _trainer(6, **options).fit(second := _Recorder(), data, ckpt_path=str(tmp_path / "last.ckpt"))
    assert first.numbers + second.numbers == whole.numbers
    assert all(map(_equal, first.training_batches + second.training_batches, whole.training_batches))
    assert torch.equal(second.weight, whole.weight)


def test_a_resumed_mixture_goes_on_with_the_next_samples(shard_folders: dict[str, str], tmp_path: Path) -> None:
    more = foreground_shards(tmp_path / "more", count=3, prefix="m")
    folders: dict[str, Any] = {**shard_folders, "foregrounds": {shard_folders["foregrounds"]: 0.6, more: 0.4}}
    whole = _fit(folders, 6)
    data = MattingDataModule(**{**folders, "evaluation": None}, **SMALL)
    (trainer := _trainer(4)).fit(first := _Recorder(), data)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = MattingDataModule(**{**folders, "evaluation": None}, **{**SMALL, "num_workers": 2})
    _trainer(6).fit(second := _Recorder(), again, ckpt_path=str(tmp_path / "last.ckpt"))
    assert all(map(_equal, first.training_batches + second.training_batches, whole.training_batches))
    assert {key[0] for batch in whole.training_batches for key in batch["key"]} == {"f", "m"}


def test_bounded_epochs_go_on_too(shard_folders: dict[str, str]) -> None:
    module = _fit(shard_folders, 6, trainer={"limit_train_batches": 2})
    assert [number for batch in module.numbers for number in batch] == list(range(24))


def test_ranks_share_a_global_batch(shard_folders: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _fit(shard_folders, 4).training_batches
    parts = []
    for rank in (0, 1):
        data = MattingDataModule(**{**shard_folders, "evaluation": None}, **SMALL)
        data.trainer = _trainer(4)
        monkeypatch.setattr(L.Trainer, "world_size", 2)
        monkeypatch.setattr(L.Trainer, "global_rank", rank)
        data.setup("fit")
        parts.append([data.on_after_batch_transfer(batch, 0) for batch in islice(data.train_dataloader(), 4)])
        monkeypatch.undo()
    for batch, first, second in zip(whole, *parts, strict=True):
        assert batch["number"] == first["number"] + second["number"]
        assert torch.equal(batch["image"], torch.cat([first["image"], second["image"]]))


@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 2), (2, 1)])
def test_a_resumed_run_may_accumulate_otherwise(
    shard_folders: dict[str, str], tmp_path: Path, before: int, after: int
) -> None:
    whole = _fit(shard_folders, 6)
    data = MattingDataModule(**{**shard_folders, "evaluation": None}, **SMALL)
    trainer = _trainer(
        3, accumulate_grad_batches=before, enable_checkpointing=True, callbacks=[Checkpoints(str(tmp_path))]
    )
    trainer.fit(first := _Recorder(), data)
    trainer = _trainer(
        6, accumulate_grad_batches=after, enable_checkpointing=True, callbacks=[Checkpoints(str(tmp_path))]
    )
    trainer.fit(second := _Recorder(), data, ckpt_path=str(tmp_path / checkpoint_name(3)))
    assert [len(numbers) for numbers in first.numbers] == [4 // before] * 3 * before
    assert [len(numbers) for numbers in second.numbers] == [4 // after] * 3 * after
    assert list(chain(*first.numbers, *second.numbers)) == list(range(24))
    assert torch.allclose(second.weight, whole.weight, atol=1e-6)


def test_another_batch_size_goes_on_with_the_next_samples(shard_folders: dict[str, str], tmp_path: Path) -> None:
    path = str(tmp_path / "last.ckpt")
    numbers = []
    for steps, batch_size in ((2, 4), (5, 6), (6, 3)):
        module = _Recorder()
        data = MattingDataModule(**{**shard_folders, "evaluation": None}, **{**SMALL, "batch_size": batch_size})
        trainer = _trainer(steps)
        trainer.fit(module, data, ckpt_path=path if numbers else None)
        trainer.save_checkpoint(path)
        numbers += module.numbers
    assert [len(batch) for batch in numbers] == [4, 4, 6, 6, 6, 3]
    assert list(chain(*numbers)) == list(range(29))


@pytest.mark.parametrize(("ranks", "accumulate"), [(3, 1), (1, 3), (2, 4)])
def test_a_batch_that_cannot_be_shared_is_refused(
    shard_folders: dict[str, str], monkeypatch: pytest.MonkeyPatch, ranks: int, accumulate: int
) -> None:
    data = MattingDataModule(**{**shard_folders, "evaluation": None}, **SMALL)
    data.trainer = _trainer(1, accumulate_grad_batches=accumulate)
    monkeypatch.setattr(L.Trainer, "world_size", ranks)
    data.setup("fit")
    with pytest.raises(
        InputError, match=f"4 samples a step .* evenly by {ranks} ranks .* multiple of {ranks * accumulate}"
    ):
        data.train_dataloader()


def test_evaluation_is_every_whole_picture_once_in_order(shard_folders: dict[str, str]) -> None:
    for verb in ("validate", "test"):
        module = _Recorder()
        getattr(_trainer(1), verb)(module, MattingDataModule(**shard_folders, **SMALL), verbose=False)
        batches = module.validation_batches
        assert [batch["key"] for batch in batches] == [["e000"], ["e001"], ["e002"]]
        assert [batch["number"] for batch in batches] == [[0], [1], [2]]
        assert [tuple(batch["image"].shape) for batch in batches] == [(1, 3, 20 + i, 24) for i in range(3)]
        assert ["foreground" in batch for batch in batches] == [False, True, True]
        assert all(set(batch["trimap"].unique().tolist()) == {0, 0.5, 1} for batch in batches)


def test_fit_validates_on_the_evaluation_folder(shard_folders: dict[str, str]) -> None:
    module = _Recorder()
    trainer = _trainer(2, val_check_interval=2, check_val_every_n_epoch=None)
    trainer.fit(module, MattingDataModule(**shard_folders, **SMALL))
    assert [batch["key"] for batch in module.validation_batches] == [["e000"], ["e001"], ["e002"]]


def test_evaluation_is_shared_between_ranks(shard_folders: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    data = MattingDataModule(**shard_folders, **SMALL)
    data.trainer = _trainer(1)
    data.setup("test")
    monkeypatch.setattr(L.Trainer, "world_size", 2)
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr(L.Trainer, "global_rank", rank)
        shares.append([batch["key"][0] for batch in data.test_dataloader()])
    assert shares == [["e000", "e002"], ["e001"]]
    monkeypatch.setattr(L.Trainer, "world_size", 4)
    with pytest.raises(InputError, match="has 3 pictures, too few for 4 ranks"):
        data.test_dataloader()


@pytest.mark.parametrize("missing", ["foregrounds", "backgrounds", "evaluation"])
def test_missing_folder_is_said_before_anything_runs(
    shard_folders: dict[str, str], tmp_path: Path, missing: str
) -> None:
    folders = {**shard_folders, missing: str(tmp_path / "nowhere")}
    module = _Recorder()
    with pytest.raises(InputError, match=f"^no shards at {tmp_path / 'nowhere'}: make some with `drip synth"):
        _trainer(1).fit(module, MattingDataModule(**folders, **SMALL))
    assert not module.training_batches


def test_test_without_evaluation_folder_says_so(shard_folders: dict[str, str]) -> None:
    data = MattingDataModule(**{**shard_folders, "evaluation": None}, **SMALL)
    with pytest.raises(InputError, match=r"^data\.evaluation is not set"):
        _trainer(1).test(_Recorder(), data, verbose=False)


def test_without_a_trainer_it_is_one_process_from_the_first_sample(synth: Path) -> None:
    data = MattingDataModule(*(str(synth / split) for split in ("foregrounds", "backgrounds", "evaluation")), **SMALL)
    for _ in range(2):  # each iteration begins anew
        first, second = islice(data.train_dataloader(), 2)
        assert [first["number"], second["number"]] == [[0, 1, 2, 3], [4, 5, 6, 7]]
        assert torch.equal(data.on_after_batch_transfer(first, 0)["image"], data.samples(range(4))["image"])
    data.load_state_dict({"step": 5, "number": 20})
    assert next(iter(data.train_dataloader()))["number"] == [20, 21, 22, 23]
    assert [check_batch(batch)["number"] for batch in data.val_dataloader()] == [[0], [1]]


@pytest.mark.parametrize("verb", ["validate", "test"])
def test_without_evaluation_pictures_there_is_nothing_to_do_but_train(synth: Path, verb: str) -> None:
    data = MattingDataModule(str(synth / "foregrounds"), str(synth / "backgrounds"), **SMALL)
    said = f"data.evaluation is not set, and there is nothing else to {verb} on"
    with pytest.raises(InputError, match=f"^{said}$"):
        getattr(_trainer(1), verb)(_Recorder(), datamodule=data)
