import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

import drip_lightning.cli.main as command
from drip_lightning.evaluation.model import Model
from drip_lightning.lit.resume.checkpoint_io import newest_checkpoint
from tests.shards import evaluation_shards


@pytest.fixture
def run(runs: Path, tmp_path: Path) -> Path:
    """A trained transparency stage that may be written into."""
    return Path(shutil.copytree(runs / "transparency", tmp_path / "transparency"))


def per_image(out: Path) -> list[dict[str, str]]:
    """The lines of `per_image.csv`, but for the seconds, which no two runs share."""
    with (out / "per_image.csv").open() as stream:
        return [{**line, "seconds": ""} for line in csv.DictReader(stream)]


def test_each_of_a_runs_evaluation_sets_has_results_of_its_own(runs: Path, synth: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(runs / "denoiser", tmp_path / "denoiser"))
    config = yaml.safe_load((own / "config.yaml").read_text())
    sets = {"mix": str(synth / "evaluation"), "discs": evaluation_shards(tmp_path / "discs")}
    config["data"]["init_args"]["evaluation"] = sets
    (own / "config.yaml").write_text(yaml.safe_dump(config))
    assert command.run(["test", "trimap", str(own), "--steps=1", "--limit=1", "--accelerator=cpu"]) == 0
    found = {name: (own / "test" / name / "per_image.csv").read_text().splitlines() for name in ("mix", "discs")}
    assert [len(lines) for lines in found.values()] == [3, 3]  # a heading, and a picture by two methods
    assert found["mix"][1:] != found["discs"][1:]
    assert not (own / "test" / "per_image.csv").exists()


def test_a_run_folder_is_all_that_is_needed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["test", str(run)]) == 0
    assert (run / "test" / "table.md").read_text() in capsys.readouterr().out
    summary = json.loads((run / "test" / "summary.json").read_text())
    assert list(summary["rows"]) == ["transparency, VAE decoder", "transparency"]
    assert (summary["format"], summary["protocol"]["count"], summary["protocol"]["region"]) == (1, 2, "unknown")
    own = [float(line["alpha_sad_unknown"]) for line in per_image(run / "test") if line["row"] == "transparency"]
    assert summary["rows"]["transparency"]["alpha_sad_unknown"]["mean"] == pytest.approx(sum(own) / 2)
    assert summary["rows"]["transparency"]["alpha_sad_unknown"]["sd"] is None


def test_sigterm_ends_it_at_once_and_the_same_command_goes_on(
    run: Path, synth: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mattes, asked = Model.mattes, 0

    def dying(self: Model, *given: Any, **options: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
            pytest.fail("it went on")
        return mattes(self, *given, **options)

    monkeypatch.setattr(Model, "mattes", dying)
    command_line = ["test", str(run), "--data", str(synth / "evaluation"), "--accelerator=cpu"]
    assert command.run(command_line) == 128 + signal.SIGTERM
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith("drip test: ended by SIGTERM; pictures that were measured are kept: the same command goes on")
    assert not (run / "test" / "table.md").exists()
    assert command.run(command_line) == 0
    assert asked == 3  # of two pictures, one was measured before
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_several_methods_share_one_table_under_the_names_given(runs: Path, tmp_path: Path) -> None:
    checkpoint = newest_checkpoint(runs / "denoiser")
    methods = ["trimap", f"ours={runs / 'denoiser'}", str(checkpoint)]
    out = tmp_path / "out"
    sizes = ["--tile-size=whole", "--memory=100GB", "--precision=bf16"]
    assert command.run(["test", *methods, *sizes, "--out", str(out), "--limit=1", "--steps=1", "--ensemble=2"]) == 0
    rows = {line["row"]: line for line in per_image(out)}
    assert list(rows) == ["trimap", "ours", checkpoint.name]
    assert {**rows["ours"], "row": ""} == {**rows[checkpoint.name], "row": ""}  # the same weights and draws
    protocol = json.loads((out / "summary.json").read_text())["protocol"]
    ours = protocol["methods"][1]
    assert (ours["tile size"], ours["memory"], protocol["precision"]) == ("whole", "100GB", "bf16-mixed")


def test_the_ceiling_has_a_folder_of_its_own(run: Path) -> None:
    assert command.run(["test", str(run), "--vae-only", "--seeds=0,1"]) == 0
    assert [line["row"] for line in per_image(run / "ceiling")] == [
        *["transparency, true latents, VAE decoder"] * 2, *["transparency, true latents"] * 2,
    ]  # fmt: skip


@pytest.mark.slow
def test_two_ranks_measure_each_picture_once_and_end_in_the_same_table(runs: Path, tmp_path: Path) -> None:
    data = evaluation_shards(tmp_path / "shards")
    arguments = ["test", "trimap", str(runs / "denoiser"), "--data", data, "--seeds=0,1", "--accelerator=cpu"]
    assert command.run([*arguments, "--out", str(tmp_path / "one")]) == 0
    drip = Path(sys.executable).with_name("drip")
    done = subprocess.run(
        [drip, *arguments, "--out", tmp_path / "two", "--devices=2"],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=560,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert per_image(tmp_path / "two") == per_image(tmp_path / "one")
    shares = [len(file.read_text().splitlines()) for file in (tmp_path / "two" / "results").glob("rank-*.jsonl")]
    assert sorted(shares) == [4, 5]  # 3 pictures of the trimap, 3 × 2 seeds of the denoiser
    tables = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("one", "two")]
    for table in tables:
        for row in table["rows"].values():
            del row["seconds"]
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nothing"], "--out is needed"),
        (
            ["nothing", "--out=o", "--data=d"],
            "no method 'nothing': neither a run folder nor a checkpoint, nor a folder of mattes, nor one of",
        ),
        (["trimap", "--out=o"], "--data is needed: a baseline names no evaluation shards"),
        (["trimap", "--out=o", "--data=d"], "no shards at d"),
        (["trimap", "trimap", "--out=o", "--data=d"], "two methods are both called 'trimap'"),
        (["trimap", "--out=o", "--data=d", "--steps=0"], "--steps: expected different numbers of at least 1, got 0"),
        (["trimap", "--out=o", "--data=d", "--accelerator=abacus"], "abacus"),
        (["denoiser", "--out=o", "--tile-size=7"], "tile size: expected at least 32 for these networks, got 7"),
        (["autoencoder", "--out=o"], "the stage Autoencoder, expected"),
    ],
)
def test_a_mistake_is_one_line(
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for stage in ("autoencoder", "denoiser"):
        (tmp_path / stage).symlink_to(runs / stage)
    assert command.run(["test", *arguments]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("drip test: ")
    assert complaint in said


def test_a_broken_picture_costs_the_exit_status_unless_allowed(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(evaluation_shards(tmp_path / "shards"))
    shard = data / "shard-000001.tar"
    shard.write_bytes(shard.read_bytes()[:700])
    arguments = ["test", "trimap", "--data", str(data), "--out", str(tmp_path / "out")]
    assert command.run(arguments) == 1
    assert "1 pictures were left out, such as number 2" in capsys.readouterr().err
    assert command.run([*arguments, "--allow-broken"]) == 0
    assert [line["key"] for line in per_image(tmp_path / "out")] == ["e000", "e001"]


def test_a_checkpoint_s_own_name_is_no_named_method(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(newest_checkpoint(runs / "denoiser").parent)
    more = ["--data", str(evaluation_shards(tmp_path / "shards")), "--limit=1", "--steps=1", "--out"]
    for word, name in (("step=0000002.ckpt", "step=0000002.ckpt"), ("ours=step=0000002.ckpt", "ours")):
        assert command.run(["test", word, *more, str(tmp_path / name)]) == 0
        assert [line["row"] for line in per_image(tmp_path / name)] == [name]
    assert command.run(["test", "step=0000009.ckpt", *more, str(tmp_path / "none")]) == 1
    assert "no method 'step=0000009.ckpt': neither a run folder nor a checkpoint" in capsys.readouterr().err
