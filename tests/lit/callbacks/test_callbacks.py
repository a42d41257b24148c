import inspect
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from drip_lightning.cli.fit import run
from drip_lightning.lit.callbacks.matte_panels import MattePanels, log_picture
from drip_lightning.lit.datamodule import MattingDataModule
from drip_lightning.lit.matting import MattingStage
from drip_lightning.nn.sampler import Matte
from drip_lightning.ops.panel import matte_panel
from drip_lightning.ops.picture import as_picture
from tests.networks import matting_batch
from tests.runs import tiny_arguments


@pytest.mark.slow
def test_the_same_configuration_is_stored_once_and_others_are_numbered(synth: Path, tmp_path: Path) -> None:
    folder = tmp_path / "autoencoder"

    def fit(*more: str) -> dict[str, int]:
        run(tiny_arguments("autoencoder", synth, tmp_path, "--trainer.max_steps=1", "--checkpoint.keep=0", *more))
        stored = {path.name: yaml.safe_load(path.read_text()) for path in folder.glob("config*")}
        assert all(config["ckpt_path"] is None for config in stored.values())
        return {name: config["data"]["init_args"]["batch_size"] for name, config in stored.items()}

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
    matte = stage.matte(batch, stage.sampler)
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


_SPY = """
from lightning.pytorch.loggers import Logger

SEEN = {}


class Spy(Logger):
    name = version = "spy"

    def log_hyperparams(self, params):
        SEEN["hparams"] = params

    def log_metrics(self, metrics, step=None):
        SEEN.setdefault("metrics", set()).update(metrics)

    def log_image(self, key, images, step):
        SEEN.setdefault("images", {})[key, step] = images
"""


def test_configuration_panels_and_scores_reach_every_logger(
    synth: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spylogger.py").write_text(_SPY)
    monkeypatch.syspath_prepend(tmp_path)
    csv = f'{{"class_path": "CSVLogger", "init_args": {{"save_dir": "{tmp_path}", "name": "csv", "version": ""}}}}'
    events = csv.replace("CSV", "TensorBoard").replace("csv", "events")
    more = (f'--trainer.logger=[{csv}, {events}, {{"class_path": "spylogger.Spy"}}]', "--panels.count=1")
    run(tiny_arguments("denoiser", synth, runs, f"--trainer.default_root_dir={tmp_path / 'run'}", *more))

    import spylogger  # type: ignore[import-not-found]

    stored = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert spylogger.SEEN["hparams"] == stored
    assert stored["model"]["init_args"]["sampling_steps"] == 2
    for name in ("csv", "events"):
        assert yaml.safe_load((tmp_path / name / "hparams.yaml").read_text()) == stored
    assert "val/alpha_sad_unknown" in spylogger.SEEN["metrics"]
    assert "val/alpha_sad_unknown" in (tmp_path / "csv" / "metrics.csv").read_text()

    (((name, step), (panel,)),) = spylogger.SEEN["images"].items()
    file = tmp_path / "csv" / "panels" / f"{name.replace('/', '_')}-step={step:07d}.png"
    with Image.open(file) as written:
        assert step == 2
        assert np.array_equal(written, panel)
    assert [event.step for event in EventAccumulator(str(tmp_path / "events")).Reload().Images(name)] == [2]


def test_a_plain_run_has_hyperparameters_in_tensorboard(runs: Path) -> None:
    events = EventAccumulator(str(runs / "denoiser" / "tensorboard")).Reload()
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    hparams = HParamsPluginData.FromString(content).session_start_info.hparams
    assert hparams["model.init_args.sampling_steps"].number_value == 2
    assert hparams["model.class_path"].string_value == "Denoiser"
    assert "hp_metric" not in events.Tags()["scalars"]


class _Folderless(Logger):
    """Neither takes pictures nor has a place for files."""

    name = version = "nowhere"

    def log_hyperparams(self, *_: object) -> None: ...

    def log_metrics(self, *_: object) -> None: ...


class _MLFlow(MLFlowLogger):
    """Lightning's, with a client that keeps what it is given."""

    run_id = "run 7"

    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []

    @property
    def experiment(self) -> object:
        def log_image(run_id: str, image: Image.Image, *, key: str, step: int) -> None:
            self.seen.append((run_id, image.size, key, step))

        return SimpleNamespace(log_image=log_image)


def test_panels_reach_loggers_without_a_folder_mlflow_s_and_wandb_s() -> None:
    """W&B's is called as the spy above is."""
    inspect.signature(WandbLogger.log_image).bind(None, key="val/cat", images=[None], step=3)
    mlflow = _MLFlow()
    log_picture(mlflow, "val/cat", torch.rand(3, 4, 6), step=3, folder=Path("none"))
    assert mlflow.seen == [("run 7", (6, 4), "val/cat", 3)]


def test_panels_of_a_logger_without_a_folder_are_in_the_run_folder(tmp_path: Path) -> None:
    batch = matting_batch(0, size=16)
    matte = Matte(foreground=batch["foreground"], alpha=batch["alpha"])
    trainer = SimpleNamespace(loggers=[_Folderless()], default_root_dir=tmp_path, is_global_zero=True, global_step=3)
    MattePanels().on_validation_batch_end(trainer, None, matte, batch, 0)  # type: ignore[arg-type]
    (file,) = (tmp_path / "panels").iterdir()
    assert file.name == f"val_{batch['key'][0]}-step=0000003.png"
    expected = matte_panel(batch["image"], batch["trimap"], matte.alpha, matte.foreground)[0]
    with Image.open(file) as written:
        assert np.array_equal(written, as_picture(expected))
