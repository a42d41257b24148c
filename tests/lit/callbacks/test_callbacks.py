from pathlib import Path

import numpy as np
import torch
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from drip_lightning.cli.fit import run
from drip_lightning.lit.callbacks.matte_panels import MattePanels
from drip_lightning.lit.datamodule import MattingDataModule
from drip_lightning.lit.matting import MattingStage
from drip_lightning.ops.panel import matte_panel
from tests.runs import tiny_arguments


def test_the_same_configuration_is_stored_once_and_others_are_numbered(synth: Path, tmp_path: Path) -> None:
    folder = tmp_path / "autoencoder"

    def fit(*more: str) -> dict[str, int]:
        run(tiny_arguments("autoencoder", synth, tmp_path, "--trainer.max_steps=1", "--checkpoint.keep=0", *more))
        stored = {path.name: yaml.safe_load(path.read_text()) for path in folder.glob("config*")}
        assert all(config["ckpt_path"] is None for config in stored.values())
        return {name: config["data"]["batch_size"] for name, config in stored.items()}

    assert fit() == {"config.yaml": 2}
    assert fit("--ckpt_path=auto") == {"config.yaml": 2}
    assert fit("--data.batch_size=1") == {"config.yaml": 2, "config-2.yaml": 1}
    assert fit("--data.batch_size=3") == {"config.yaml": 2, "config-2.yaml": 1, "config-3.yaml": 3}
    assert fit("--data.batch_size=1") == {"config.yaml": 2, "config-2.yaml": 1, "config-3.yaml": 3}


def test_panels_in_tensorboard_are_the_mattes_of_the_first_pictures(synth: Path, runs: Path, tmp_path: Path) -> None:
    data = MattingDataModule(*(str(synth / split) for split in ("foregrounds", "backgrounds", "evaluation")))
    data.num_workers = 0
    stage = MattingStage.from_checkpoint(runs / "denoiser", sampling_steps=2)
    logger = TensorBoardLogger(tmp_path, name="", version="")
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = Trainer(accelerator="cpu", logger=logger, callbacks=[MattePanels(count=1)], **quiet)
    trainer.validate(stage, data, verbose=False)

    events = EventAccumulator(str(tmp_path)).Reload()
    batch = next(iter(data.val_dataloader()))
    assert events.Tags()["images"] == [f"val/{batch['key'][0]}"]
    (event,) = events.Images(f"val/{batch['key'][0]}")
    (tmp_path / "panel.png").write_bytes(event.encoded_image_string)
    with Image.open(tmp_path / "panel.png") as picture:
        found = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255
    matte = stage.matte(batch, stage.pipeline)
    expected = matte_panel(batch["image"], batch["trimap"], matte.alpha, matte.foreground)
    assert (found - expected).abs().max() <= 1.01 / 255


def test_training_draws_a_panel_at_every_validation(synth: Path, runs: Path) -> None:
    events = EventAccumulator(str(runs / "transparency" / "tensorboard")).Reload()
    assert len(events.Tags()["images"]) == 2
    assert all([event.step for event in events.Images(tag)] == [2] for tag in events.Tags()["images"])
    assert "val/alpha_sad_unknown" in events.Tags()["scalars"]


def test_an_autoencoder_has_no_mattes_to_draw(runs: Path) -> None:
    events = EventAccumulator(str(runs / "autoencoder" / "tensorboard")).Reload()
    assert events.Tags()["images"] == []
    assert "val/loss" in events.Tags()["scalars"]
