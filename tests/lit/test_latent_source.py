from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from drip_lightning.cli.data.cache_latents import main
from drip_lightning.cli.fit import run
from drip_lightning.data.shards.reader import ShardFolder
from drip_lightning.errors import InputError
from drip_lightning.lit.datamodule import MattingDataModule
from drip_lightning.lit.latent_source import decode_latents, encode_latents
from drip_lightning.lit.transparency import TransparencyDecoder
from tests.runs import CONFIGS, tiny_arguments

STEPS = 3


def cache(synth: Path, runs: Path, out: Path, *more: str, samples: int = 2 * STEPS) -> int:
    _, *settings = tiny_arguments("transparency", synth, runs, f"--trainer.default_root_dir={out.parent / 'unused'}")
    return main([str(out), f"--samples={samples}", *settings, *more])


def train(synth: Path, runs: Path, folder: Path, *more: str, latents: Path | None = None) -> dict[str, list[float]]:
    own = [f"--config={CONFIGS / 'ablation' / 'cached_latents.yaml'}"] if latents else []
    own += [f"--model.init_args.latents.init_args.folder={latents}"] if latents else []
    fixed = (f"--trainer.default_root_dir={folder}", f"--trainer.max_steps={STEPS}", "--trainer.log_every_n_steps=1")
    run(tiny_arguments("transparency", synth, runs, *own, *fixed, "--trainer.limit_val_batches=0", *more))
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag.startswith("train/") and ("loss" in tag or "_l" in tag)]
    return {tag: [event.value for event in events.Scalars(tag)] for tag in tags}


@pytest.mark.slow
def test_training_on_cached_latents_takes_the_very_same_steps(synth: Path, runs: Path, tmp_path: Path) -> None:
    assert cache(synth, runs, tmp_path / "latents") == 0
    live = train(synth, runs, tmp_path / "live")
    cached = train(synth, runs, tmp_path / "cached", latents=tmp_path / "latents")
    assert len(live["train/loss"]) == STEPS
    assert len(set(live["train/loss"])) == STEPS
    assert cached == live
    assert not (tmp_path / "unused").exists()  # a run's folder is not made for it

    with pytest.raises(InputError, match=r"cached with other settings \(image_size\)") as error:
        train(synth, runs, tmp_path / "other", "--data.image_size=64", latents=tmp_path / "latents")
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="has the latents of 6 samples, and training has come to sample 7"):
        train(synth, runs, tmp_path / "longer", f"--trainer.max_steps={STEPS + 1}", latents=tmp_path / "latents")


@pytest.mark.slow
def test_what_was_broken_off_goes_on(synth: Path, runs: Path, tmp_path: Path, monkeypatch) -> None:
    """The first shard is whole when the second breaks: run again, only the second's samples are made."""
    made: list[int] = []

    def counting(stage, batch):
        made.extend(batch["number"])
        if made == list(range(258)):
            raise KeyboardInterrupt
        return torch.tensor(2 * batch["number"], dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 4, 2, 2)

    monkeypatch.setattr(TransparencyDecoder, "sample_latents", counting)
    monkeypatch.setattr(MattingDataModule, "train_dataloader", _numbers_alone)
    monkeypatch.setattr(MattingDataModule, "on_after_batch_transfer", lambda data, batch, index: batch)
    cache(synth, runs, tmp_path / "whole", samples=256)
    made.clear()
    with pytest.raises(KeyboardInterrupt):
        cache(synth, runs, tmp_path / "broken", samples=260)
    assert not (tmp_path / "broken" / "index.json").exists()
    made.clear()
    cache(synth, runs, tmp_path / "broken", samples=260)
    assert made == [256, 257, 258, 259]
    whole, resumed = (ShardFolder(tmp_path / name) for name in ("whole", "broken"))
    assert whole.index.shards == resumed.index.shards[:1]
    assert [int(decode_latents(resumed[number])[0, 0, 0, 0]) for number in (0, 255, 256, 259)] == [0, 255, 256, 259]


def _numbers_alone(data: MattingDataModule):
    for number in range(data.next_number, 300, 2):
        yield {"number": [number, number + 1]}


def test_files_of_latents_are_exact() -> None:
    latents = torch.randn(6, 4, 3, 2)
    files = encode_latents(latents)
    found = torch.stack([decode_latents({"latents.npy": file}) for file in files])
    assert torch.equal(found[:, 0], latents[:3])
    assert torch.equal(found[:, 1], latents[3:])


def test_another_stage_is_refused(synth: Path, runs: Path, tmp_path: Path) -> None:
    _, *settings = tiny_arguments("denoiser", synth, runs, f"--trainer.default_root_dir={tmp_path}")
    with pytest.raises(InputError, match="the stage Denoiser trains on no latents"):
        main([str(tmp_path / "out"), "--samples=2", *settings])
