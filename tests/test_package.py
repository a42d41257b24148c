"""The package as others install it: a face that imports little, configurations inside, a wheel that works elsewhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import drip_lightning
import drip_lightning.cli.main as command
from drip_lightning.errors import InputError
from drip_lightning.shipped import FOLDER, copy_configs, find_config, with_found_configs
from tests.runs import CONFIGS, tiny_arguments

REPOSITORY = CONFIGS.parent


@pytest.mark.slow
def test_every_public_name_is_there_and_none_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, drip_lightning as d\n"
        "heavy = {'torch', 'lightning', 'diffusers', 'numpy', 'PIL', 'kornia'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert all(getattr(d, name) is not None and name in dir(d) for name in d.__all__)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'Denoisr'"):
        drip_lightning.Denoisr  # noqa: B018


def test_importing_takes_less_than_a_fifth_of_a_second() -> None:
    code = "import time; began = time.perf_counter(); import drip_lightning; print(time.perf_counter() - began)"
    seconds = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(3)]
    assert min(seconds) < 0.2


def test_shipped_configurations_are_found_by_name_unless_a_file_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config("scale/tiny.yaml") == find_config("configs/scale/tiny.yaml") == str(FOLDER / "scale/tiny.yaml")
    assert find_config("nowhere.yaml") == "nowhere.yaml"
    (tmp_path / "denoiser.yaml").write_text("")
    assert find_config("denoiser.yaml") == "denoiser.yaml"
    words = ["fit", "--config", "autoencoder.yaml", "--config=scale/tiny.yaml", "--seed_everything", "scale/tiny.yaml"]
    found = list(with_found_configs(words))
    assert found[2] == str(FOLDER / "autoencoder.yaml")
    assert found[3] == f"--config={FOLDER / 'scale/tiny.yaml'}"
    assert found[-1] == "scale/tiny.yaml"  # another option's value


def test_drip_configs_copies_all_and_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["configs", str(tmp_path / "own")]) == 0
    copied = sorted(path.relative_to(tmp_path / "own") for path in (tmp_path / "own").rglob("*.yaml"))
    assert copied == sorted(path.relative_to(CONFIGS) for path in CONFIGS.rglob("*.yaml"))
    assert (tmp_path / "own/denoiser.yaml").read_text() == (CONFIGS / "denoiser.yaml").read_text()
    with pytest.raises(InputError, match="is there already"):
        copy_configs(tmp_path / "own")
    (tmp_path / "file").write_text("")
    assert command.run(["configs", str(tmp_path / "file" / "below")]) == 1
    assert "cannot write to" in capsys.readouterr().err


@pytest.mark.slow
def test_a_wheel_works_outside_the_repository(tmp_path: Path, synth: Path, runs: Path) -> None:
    """Built, installed without dependencies into a folder, and run from an empty directory."""
    source = tmp_path / "source"  # building leaves files beside the source
    for name in ("drip_lightning", "configs"):
        shutil.copytree(REPOSITORY / name, source / name, symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(tmp_path / "site"), str(wheel)], check=True)
    installed = tmp_path / "site" / "drip_lightning"
    assert (installed / "py.typed").is_file()
    assert not (installed / "configs").is_symlink()

    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}

    def drip(*arguments: str) -> str:
        code = "import sys; from drip_lightning.cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=empty, env=environment, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "usage: drip VERB" in drip("--help")

    def named(stage: str) -> list[str]:
        arguments = tiny_arguments(stage, synth, runs)
        arguments[1:3] = ["--config", f"{stage}.yaml", "--config", "scale/tiny.yaml"]
        return [*arguments, "--trainer.default_root_dir=run"]

    assert "laplacian_weight" in drip(*named("autoencoder"), "--print_config")
    assert "class_path: UNetDecoder" in drip(*named("transparency"), "--print_config")
    drip(*named("denoiser"))
    assert list((empty / "run" / "checkpoints").glob("*.ckpt"))
