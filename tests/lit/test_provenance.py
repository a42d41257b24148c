import json
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

import drip_lightning.lit.provenance as provenance
from drip_lightning.cli.fit import run
from drip_lightning.lit.resume.checkpoint_io import newest_checkpoint, read_checkpoint
from tests.runs import tiny_arguments


def test_a_run_tells_what_it_was_made_from(runs: Path, synth: Path) -> None:
    (start,) = json.loads((runs / "denoiser" / "provenance.json").read_text())
    assert (start["config"], start["resumed from"], start["ranks"]) == ("config.yaml", None, 1)
    assert start["packages"]["torch"] == torch.__version__
    assert start["packages"]["lightning"] == version("lightning")
    for name in ("foregrounds", "backgrounds", "evaluation"):
        assert start["data"][name] == {
            "folder": str(synth / name),
            "index": provenance.index_hash(str(synth / name)),
        }
    assert len({start["data"][name]["index"] for name in start["data"]}) == 3
    assert len(start["code"]["hash"]) == 12


def test_every_start_adds_an_entry(synth: Path, tmp_path: Path) -> None:
    for steps in (1, 2):
        more = (f"--trainer.max_steps={steps}", "--ckpt_path=auto")
        run(tiny_arguments("autoencoder", synth, tmp_path, *more))
    starts = json.loads((tmp_path / "autoencoder" / "provenance.json").read_text())
    assert [(start["config"], start["resumed from"]) for start in starts] == [
        ("config.yaml", None),
        ("config-2.yaml", str(tmp_path / "autoencoder" / "checkpoints" / "step=0000001.ckpt")),
    ]
    assert read_checkpoint(newest_checkpoint(tmp_path / "autoencoder"))["global_step"] == 2


def test_git_tells_revision_and_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(provenance, "_PACKAGE", package)
    assert provenance.git_state() is None
    git = ["git", "-C", package, "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    assert provenance.git_state() is None, "in a working tree, but no part of it"
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert provenance.git_state() == {"revision": head, "changed": False}
    (package / "__init__.py").write_text("changed")
    assert provenance.git_state() == {"revision": head, "changed": True}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_state() is None
