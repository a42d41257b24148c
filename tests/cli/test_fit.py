import functools
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import LightningModule, Trainer

import drip_lightning.cli.main as command
from drip_lightning.cli.fit import run
from drip_lightning.data.shards.index import read_index
from drip_lightning.lit.autoencoder import Autoencoder
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.matting import MattingStage
from drip_lightning.lit.resume.checkpoint_io import checkpoints_in, newest_checkpoint, read_checkpoint
from drip_lightning.lit.transparency import TransparencyDecoder
from tests.runs import CONFIGS, NETWORKS, STAGES, tiny_arguments
from tests.same_run import logged
from tests.shards import evaluation_shards

NAMES = ("val/loss", "train/loss", "optimizer/gradient_norm")


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(newest_checkpoint(folder))["state_dict"]


def _equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_folder_holds_all_of_the_run(runs: Path, stage: str) -> None:
    folder = runs / stage
    checkpoint = read_checkpoint(folder / "checkpoints" / "step=0000002.ckpt")
    assert checkpoint["global_step"] == 2
    assert checkpoint["drip"]["class_path"].lower().startswith(stage)
    assert yaml.safe_load((folder / "config.yaml").read_text())["data"]["init_args"]["image_size"] == 32
    assert list((folder / "tensorboard").glob("events.out.tfevents.*"))
    assert not list(folder.rglob("*partial*"))


def test_the_stages_hang_together(runs: Path) -> None:
    autoencoder = Autoencoder.from_checkpoint(runs / "autoencoder")
    denoiser = Denoiser.from_checkpoint(runs / "denoiser")
    whole = TransparencyDecoder.from_checkpoint(runs / "transparency")
    assert _equal(autoencoder.vae.state_dict(), denoiser.codec.vae.state_dict())
    assert _equal(denoiser.codec.state_dict(), whole.codec.state_dict())
    assert _equal(denoiser.joint_unet.state_dict(), whole.joint_unet.state_dict())
    assert not any(name.startswith(("codec.", "joint_unet.")) for name in _weights(runs / "transparency"))


@pytest.mark.slow
def test_the_stored_configuration_alone_repeats_the_run(runs: Path, tmp_path: Path) -> None:
    config = f"--config={runs / 'denoiser' / 'config.yaml'}"
    assert command.run(["fit", config, f"--trainer.default_root_dir={tmp_path}"]) == 0
    assert _equal(_weights(tmp_path), _weights(runs / "denoiser"))


@pytest.mark.slow
def test_the_console_command_trains_in_workers_as_in_this_process(synth: Path, runs: Path, tmp_path: Path) -> None:
    drip = Path(sys.executable).with_name("drip")
    arguments = tiny_arguments("autoencoder", synth, tmp_path, "--data.num_workers=1")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([drip, *arguments], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    trained, here = _weights(tmp_path / "autoencoder"), _weights(runs / "autoencoder")
    assert all(torch.allclose(trained[name], here[name], atol=1e-5) for name in here)


@pytest.mark.slow
def test_going_on_is_as_if_never_stopped(synth: Path, tmp_path: Path) -> None:
    whole, parts = (tmp_path / name for name in ("whole", "parts"))
    auto = ("--ckpt_path=auto",)
    run(tiny_arguments("autoencoder", synth, whole, "--trainer.max_steps=3"))
    first = run(tiny_arguments("autoencoder", synth, parts, "--trainer.max_steps=1", *auto))  # nothing there: afresh
    second = run(tiny_arguments("autoencoder", synth, parts, "--trainer.max_steps=3", *auto))
    assert (first.trainer.global_step, second.trainer.global_step) == (1, 3)
    assert second.trainer.ckpt_path == str(parts / "autoencoder" / "checkpoints" / "step=0000001.ckpt")
    assert _equal(_weights(parts / "autoencoder"), _weights(whole / "autoencoder"))
    third = run(tiny_arguments("autoencoder", synth, parts, "--trainer.max_steps=3", *auto))
    assert third.trainer.global_step == 3


def test_one_folder_holds_one_run(synth: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(runs / "autoencoder", tmp_path / "autoencoder")) / "checkpoints"
    shutil.copy(folder / "step=0000002.ckpt", folder / "step=0000001.ckpt")
    for given in ((), (f"--ckpt_path={runs}/autoencoder",), (f"--ckpt_path={folder}/step=0000001.ckpt",)):
        said = _complaint(tiny_arguments("autoencoder", synth, tmp_path, *given), capsys)
        assert f"{folder} holds a run up to step=0000002.ckpt: resume it with --ckpt_path auto, or" in said
    for given in ("auto", str(tmp_path / "autoencoder"), str(folder / "step=0000002.ckpt")):
        assert run(tiny_arguments("autoencoder", synth, tmp_path, f"--ckpt_path={given}")).trainer.global_step == 2


def test_another_runs_checkpoint_begins_a_run_of_its_own(synth: Path, runs: Path, tmp_path: Path) -> None:
    more = (f"--ckpt_path={runs}/autoencoder", "--trainer.max_steps=3")
    assert run(tiny_arguments("autoencoder", synth, tmp_path, *more)).trainer.global_step == 3
    names = [file.name for file in checkpoints_in(tmp_path / "autoencoder")]
    assert names == ["step=0000003.ckpt"]


def test_the_last_step_is_saved_whatever_the_interval(synth: Path, tmp_path: Path) -> None:
    run(tiny_arguments("autoencoder", synth, tmp_path, "--trainer.max_steps=3", "--checkpoint.every_n_train_steps=2"))
    saved = sorted(checkpoints_in(tmp_path / "autoencoder"))
    assert [path.name for path in saved] == ["step=0000002.ckpt", "step=0000003.ckpt"]
    assert read_checkpoint(saved[-1])["global_step"] == 3


@pytest.mark.slow
def test_validate_scores_the_newest_checkpoint(synth: Path, runs: Path) -> None:
    default, explicit, folder = (
        run(tiny_arguments("denoiser", synth, runs, *more, verb="validate")).trainer.callback_metrics
        for more in (
            (),
            (f"--ckpt_path={runs / 'denoiser/checkpoints/step=0000002.ckpt'}",),
            (f"--ckpt_path={runs}/denoiser",),
        )
    )
    assert default == explicit == folder
    assert default["val/alpha_sad_unknown"] > 0


@pytest.mark.parametrize(("verb", "step"), [("validate", "validation_step"), ("predict", "predict_step")])
def test_sigterm_ends_what_trains_nothing_at_once(
    synth: Path,
    runs: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    step: str,
) -> None:
    def dying(*given: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        pytest.fail("it went on")

    monkeypatch.setattr(Denoiser, step, dying)
    assert command.run(tiny_arguments("denoiser", synth, runs, verb=verb)) == 128 + signal.SIGTERM
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(f"drip {verb}: ended by SIGTERM; nothing of it is kept")


def test_test_of_a_configuration_ends_in_the_evaluators_table(
    synth: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "transparency", tmp_path / "transparency")
    more = (f"--trainer.default_root_dir={tmp_path / 'transparency'}",)
    assert command.run(tiny_arguments("transparency", synth, runs, *more, verb="test")) == 0
    written = (tmp_path / "transparency" / "test" / "table.md").read_text()
    assert written in capsys.readouterr().out
    rows = json.loads((tmp_path / "transparency" / "test" / "summary.json").read_text())["rows"]
    assert list(rows) == ["trimap", "transparencydecoder, VAE decoder", "transparencydecoder"]


@pytest.mark.slow
def test_predict_gives_the_mattes_of_the_evaluation_pictures(synth: Path, runs: Path) -> None:
    cli = run(tiny_arguments("denoiser", synth, runs, verb="predict"))
    predictions = cli.trainer.predict_loop.predictions
    stage = MattingStage.from_checkpoint(runs / "denoiser", sampling_steps=2)
    loader = cli.datamodule.predict_dataloader()
    for prediction, batch in zip(predictions, loader, strict=True):
        matte = stage.matte(batch, stage.sampler)
        assert prediction["key"] == batch["key"]
        assert torch.allclose(prediction["alpha"], matte.alpha, atol=1e-5)
        assert torch.allclose(prediction["foreground"], matte.foreground, atol=1e-5)


@pytest.mark.parametrize(("more", "kept"), [((), False), (("--return_predictions=true",), True)])
def test_predict_on_the_command_line_keeps_no_mattes(
    synth: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...], kept: bool
) -> None:
    asked: list[bool] = []

    @functools.wraps(Trainer.predict)  # of which the options are made
    def predict(trainer: Trainer, *_: object, return_predictions: bool, **__: object) -> None:
        asked.append(return_predictions)

    monkeypatch.setattr(Trainer, "predict", predict)
    assert command.run([*tiny_arguments("denoiser", synth, runs, verb="predict"), *more]) == 0
    assert asked == [kept]


def _damaged(synth: Path, folder: Path) -> Path:
    """The foregrounds, every sample's bytes spoilt in the same place."""
    shutil.copytree(synth / "foregrounds", folder)
    shard = folder / read_index(folder).shards[0].name
    content = bytearray(shard.read_bytes())
    for span in read_index(folder).shards[0].spans:
        content[span.offset + 600 : span.offset + 640] = bytes(40)
    shard.write_bytes(content)
    return folder


def _complaint(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What `drip` says when it fails: its last line on standard error, and the only one that is `drip`'s."""
    assert command.run(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("drip ")] == lines[-1:]
    return lines[-1]


@pytest.mark.slow
def test_several_evaluation_sets_are_scored_by_name(synth: Path, runs: Path, tmp_path: Path) -> None:
    folders = {"mix": str(synth / "evaluation"), "discs-3": evaluation_shards(tmp_path / "discs")}

    def scores(stage: str, evaluation: str) -> dict[str, Any]:
        log = f"--trainer.logger={{class_path: CSVLogger, init_args: {{save_dir: {tmp_path}, name: {stage}}}}}"
        more = (f"--data.evaluation={evaluation}", log, "--panels.count=1")
        return run(tiny_arguments(stage, synth, runs, *more, verb="validate")).trainer.callback_metrics

    several = scores("denoiser", json.dumps(folders))
    for name, folder in folders.items():
        alone = scores("denoiser", folder)
        assert several[f"val/{name}/alpha_sad_unknown"] == alone["val/alpha_sad_unknown"]
    assert len(several) == 2 * len(alone)
    losses = scores("autoencoder", json.dumps(folders))
    assert losses["val/discs-3/loss"] == scores("autoencoder", folders["discs-3"])["val/loss"]
    assert losses["val/mix/loss"] != losses["val/discs-3/loss"]
    panels = sorted(file.name for file in (tmp_path / "denoiser" / "version_0" / "panels").iterdir())
    assert [name.split("_")[:2] for name in panels] == [["val", "discs-3"], ["val", "mix"]]


def test_a_name_of_an_evaluation_set_is_one_word(synth: Path, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = '--data.evaluation={"a/b": "there"}'
    said = _complaint(tiny_arguments("denoiser", synth, runs, more, verb="validate"), capsys)
    assert said.endswith("expected DIR, or names of letters, digits, _ and - to DIRs, got 'a/b'")


@pytest.mark.slow
def test_a_run_that_keeps_its_best_checkpoint_is_used_by_it(
    synth: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    more = ("--trainer.val_check_interval=1", "--checkpoint.best.score=val/loss", "--checkpoint.best.mode=max")
    run(tiny_arguments("autoencoder", synth, tmp_path, *more))  # the loss falls: the worst is that of step 1
    folder = tmp_path / "autoencoder"
    best = folder / "checkpoints" / "best" / "step=0000001.ckpt"
    with caplog.at_level("INFO"):
        loaded = Autoencoder.from_checkpoint(folder).state_dict()
    assert f"{folder}: taking its best checkpoint, step=0000001.ckpt" in caplog.messages
    assert all(torch.equal(loaded[name], value) for name, value in read_checkpoint(best)["state_dict"].items())
    for given in ("best", "auto", str(folder)):
        used = run(tiny_arguments("autoencoder", synth, tmp_path, f"--ckpt_path={given}", verb="validate"))
        assert used.trainer.ckpt_path == str(best)
    said = _complaint(tiny_arguments("autoencoder", synth, runs, "--ckpt_path=best", verb="validate"), capsys)
    assert f"{runs}/autoencoder has no best checkpoint: checkpoint.best.score has one kept" in said


@pytest.mark.parametrize(
    ("stage", "more", "complaint"),
    [
        ("denoiser", "--data.foregrounds={0}/nowhere", "no shards at {0}/nowhere: make some with `drip synth"),
        ("denoiser", "--data.backgrounds={0}/empty", "{0}/empty is empty: make it with `drip synth"),
        ("denoiser", "--data.evaluation={0}/nowhere", "no shards at {0}/nowhere"),
        ("denoiser", "--config={0}/nowhere.yaml", "File does not exist: '{0}/nowhere.yaml'"),
        (
            "denoiser",
            "--config={0}/odd.yaml",
            "odd.yaml: model: Option 'flavour' is not accepted; --help-all lists all",
        ),
        ("denoiser", "--model.init_args.flavour=3", "Option 'flavour' is not accepted"),
        ("denoiser", "--data.flavour=3", "data: Option 'flavour' is not accepted; expected one of foregrounds"),
        ("denoiser", "--model.init_args.noise_schedule.prediction_type=v", "'epsilon', 'v_prediction', 'sample'"),
        ("denoiser", "--data.batch_size=-2", "image_size and batch_size: expected at least 1, got 32 and -2"),
        ("denoiser", "--data.num_workers=-1", "num_workers: expected 0 or more, got -1"),
        ("denoiser", "--seed_everything=-1", "seed_everything: -1 is not in bounds"),
        ("denoiser", "--model.init_args.sampling_steps=0", "sampling_steps: expected at least 1, got 0"),
        ("transparency", "--model.init_args.max_steps=0", "max_steps: expected at least 1, got 0"),
        ("denoiser", "--model.init_args.optimizer.init_args.lr=-1", "optimizer: Invalid learning rate: -1.0"),
        ("denoiser", f"{NETWORKS}vae={{0}}/nowhere", "no trained autoencoder at {0}/nowhere/vae: train one with"),
        ("denoiser", f"{NETWORKS}unet_channels=[7,7]", "networks: num_channels (7) must be divisible by"),
        ("transparency", f"{NETWORKS}transparency_channels=[4]", "networks: channels: latents enter at level 3"),
        ("transparency", "--model.init_args.denoiser={0}/nowhere", "no checkpoint at {0}/nowhere"),
        ("transparency", "--model.init_args.denoiser={0}/empty", "no checkpoint in {0}/empty: train there first"),
        ("transparency", "--model.init_args.denoiser={1}/autoencoder", "stage Autoencoder, expected Denoiser"),
        ("denoiser", "--ckpt_path={1}/autoencoder", "stage Autoencoder, expected Denoiser"),
        ("denoiser", "--ckpt_path={0}/nowhere.ckpt", "no checkpoint at {0}/nowhere.ckpt"),
        ("denoiser", "--ckpt_path={0}/short.ckpt", "cannot read checkpoint {0}/short.ckpt: damaged"),
        ("denoiser", "--ckpt_path={0}/text.ckpt", "cannot read checkpoint {0}/text.ckpt: damaged"),
        ("denoiser", "--ckpt_path={0}/foreign.ckpt", "{0}/foreign.ckpt was not written by drip"),
        ("denoiser", "--ckpt_path=last", "ckpt_path: 'last' means nothing here; give auto, a run folder or a file"),
        ("denoiser", "--ckpt_path=best", "ckpt_path: training resumes from the newest checkpoint, auto, never from"),
        (
            "denoiser",
            "--trainer.accelerator=gpu",
            "accelerator: gpu, and this machine has no GPU: set accelerator to cpu,",
        ),
        ("denoiser", "--model.start_from={1}/autoencoder", "stage Autoencoder, expected Denoiser"),
        ("autoencoder", "--model.start_from={0}/nowhere", "no checkpoint at {0}/nowhere: give a run folder, a"),
    ],
)
def test_a_mistake_is_one_line(
    synth: Path,
    runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    stage: str,
    more: str,
    complaint: str,
) -> None:
    if "accelerator=gpu" in more and torch.accelerator.is_available():
        pytest.skip("there is a GPU")
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd.yaml").write_text("model: {init_args: {flavour: 3}}")
    (tmp_path / "text.ckpt").write_text("hello")
    whole = (runs / "denoiser" / "checkpoints" / "step=0000002.ckpt").read_bytes()
    (tmp_path / "short.ckpt").write_bytes(whole[: len(whole) // 2])
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    elsewhere = f"--trainer.default_root_dir={tmp_path / 'run'}"
    arguments = tiny_arguments(stage, synth, runs, elsewhere, more.format(tmp_path, runs))
    assert complaint.format(tmp_path, runs) in _complaint(arguments, capsys)
    left = {path.name for path in (tmp_path / "run").glob("*")}
    assert left <= {"tensorboard"}  # an empty log, which Lightning opens early; no configuration of a run that is none


def test_four_devices_without_a_gpu_start_no_rank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    arguments = tiny_arguments("denoiser", tmp_path, tmp_path, "--trainer.accelerator=auto", "--trainer.devices=4")
    assert "devices: 4, and this machine has no GPU" in _complaint(arguments, capsys)
    assert command.run(["test", "trimap", "--data=nowhere", "--out=nowhere", "--devices=4"]) == 1
    assert "devices: 4, and this machine has no GPU" in capsys.readouterr().err


def test_a_step_is_the_optimizer_s_whatever_is_accumulated(synth: Path, tmp_path: Path) -> None:
    more = ("--trainer.max_steps=5", "--trainer.val_check_interval=2", "--trainer.log_every_n_steps=1")
    more += ("--checkpoint.every_n_train_steps=2", "--checkpoint.keep=-1", "--trainer.accumulate_grad_batches=2")
    run(tiny_arguments("autoencoder", synth, tmp_path, *more))
    steps = {name: [step for found, step, _ in logged(tmp_path / "autoencoder") if found == name] for name in NAMES}
    assert {name: list(dict.fromkeys(found)) for name, found in steps.items()} == {
        "val/loss": [1, 3],  # Lightning counts steps from 0
        "train/loss": [0, 1, 2, 3, 4],
        "optimizer/gradient_norm": [0, 1, 2, 3, 4],
    }
    saved = sorted(file.name for file in checkpoints_in(tmp_path / "autoencoder"))
    assert saved == [f"step=000000{step}.ckpt" for step in (2, 4, 5)]


def test_a_checkpoint_of_other_sizes_is_refused(
    synth: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = (f"{NETWORKS}unet_channels=[16,16]", f"--ckpt_path={runs / 'denoiser'}")
    arguments = tiny_arguments("denoiser", synth, runs, f"--trainer.default_root_dir={tmp_path}", *more)
    assert "does not fit the configured networks: " in (said := _complaint(arguments, capsys))
    assert "joint_unet.unet.conv_in.weight: (8, 12, 3, 3) there, (16, 12, 3, 3) configured" in said


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("noise_schedule.prediction_type=sample", "noise_schedule.prediction_type epsilon, configured sample"),
        (
            "attention=drip_lightning.nn.attention.IndependentAttention",
            "attention CrossDomainAttention, configured IndependentAttention",
        ),
        ("noise.discount=0.5", "noise.discount 0.9, configured 0.5"),
    ],
)
def test_a_resumed_run_is_of_the_same_model(
    synth: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, complaint: str
) -> None:
    shutil.copytree(runs / "denoiser", tmp_path / "denoiser")
    more = (f"--trainer.default_root_dir={tmp_path / 'denoiser'}", "--ckpt_path=auto", "--trainer.max_steps=3")
    said = _complaint(tiny_arguments("denoiser", synth, runs, *more, f"--model.init_args.{change}"), capsys)
    assert f"step=0000002.ckpt is of another model: {complaint}; give the configuration" in said


@pytest.mark.slow
def test_a_resumed_run_may_change_how_it_is_computed(synth: Path, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "denoiser", tmp_path / "denoiser")
    more = [f"--trainer.default_root_dir={tmp_path / 'denoiser'}", "--ckpt_path=auto", "--trainer.max_steps=3"]
    more += [
        "--data.batch_size=1",
        "--model.init_args.sampling_steps=1",
        "--model.init_args.gradient_checkpointing=true",
    ]
    assert run(tiny_arguments("denoiser", synth, runs, *more)).trainer.global_step == 3


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_nothing_but_fit_takes_an_untrained_stage(
    synth: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    (tmp_path / "empty").mkdir()
    arguments = tiny_arguments("denoiser", synth, runs, f"--trainer.default_root_dir={tmp_path}/empty", verb=verb)
    assert f"no checkpoint in {tmp_path}/empty: train there first" in _complaint(arguments, capsys)


@pytest.mark.parametrize("verb", ["test", "predict"])
def test_an_autoencoder_makes_no_mattes(synth: Path, runs: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    said = _complaint(tiny_arguments("autoencoder", synth, runs, verb=verb), capsys)
    assert said == f"drip {verb}: the stage Autoencoder makes no mattes to {verb}: `drip validate` scores it"


def test_stable_diffusion_that_is_not_there(synth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["fit", f"--config={CONFIGS / 'denoiser.yaml'}", f"--trainer.default_root_dir={tmp_path}"]
    arguments += [f"--data.{split}={synth / split}" for split in ("foregrounds", "backgrounds", "evaluation")]
    arguments += [f"{NETWORKS}source={tmp_path / 'sd2'}", "--trainer.accelerator=cpu"]
    said = _complaint(arguments, capsys)
    assert f"cannot load scheduler of '{tmp_path / 'sd2'}'" in said
    assert "give a folder in diffusers' format or a Hub id" in said


def test_stable_diffusion_is_no_autoencoder_to_train(
    synth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fit", f"--config={CONFIGS / 'autoencoder.yaml'}", f"--trainer.default_root_dir={tmp_path}"]
    arguments += [f"--data.{split}={synth / split}" for split in ("foregrounds", "backgrounds", "evaluation")]
    arguments += ["--model.init_args.networks=StableDiffusion", "--trainer.accelerator=cpu"]
    assert _complaint(arguments, capsys).endswith("train one with networks FromScratch")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_sample_is_named(
    synth: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    damaged = _damaged(synth, tmp_path / "damaged")
    more = (f"--data.foregrounds={damaged}", f"--data.num_workers={workers}", f"--trainer.default_root_dir={tmp_path}")
    said = _complaint(tiny_arguments("denoiser", synth, runs, *more), capsys)
    assert said.startswith("drip fit: ")
    assert f" of {damaged}/shard-000000.tar: the file was changed or damaged" in said
    assert not multiprocessing.active_children()


def test_under_slurm_a_checkpoint_that_lightning_would_go_on_from_is_refused(
    synth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = tiny_arguments("autoencoder", synth, tmp_path)
    foreign = tmp_path / "autoencoder" / "hpc_ckpt_1.ckpt"
    foreign.parent.mkdir()
    foreign.touch()
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_JOB_NAME", "drip")
    assert f"{foreign}: Lightning would silently resume from it" in _complaint(arguments, capsys)


@pytest.mark.parametrize("where", ["training_step", "validation_step"])
def test_a_defect_of_ours_keeps_its_traceback_and_no_workers(
    synth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def broken(self: LightningModule, batch: Any, batch_index: int) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(Autoencoder, where, broken)
    with pytest.raises(ZeroDivisionError, match="ours"):
        command.run(tiny_arguments("autoencoder", synth, tmp_path, "--data.num_workers=1"))
    assert not multiprocessing.active_children()
