"""Importing less of diffusers: in a process of its own, which alone may."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drip_lightning import lean
from drip_lightning.cli import main as command

LEMUR = Path(__file__).parents[1] / "examples" / "lemur"


def _cut(name: str, folder: Path) -> Path:
    with Image.open(LEMUR / name) as whole:
        whole.crop((100, 40, 228, 136)).save(folder / name)
    return folder / name


def test_drip_matte_imports_no_training_and_mattes_as_ever(tmp_path: Path) -> None:
    picture, trimap = _cut("image.png", tmp_path), _cut("trimap.png", tmp_path)
    given = ["matte", str(picture), f"--trimap={trimap}", "--device=cpu"]
    program = (
        "import sys\n"
        "from drip_lightning.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as stop: status = stop.code\n"
        "heavy = {'kornia', 'lightning', 'peft', 'transformers', 'webdataset'}\n"
        "sys.exit(f'imported {heavy & set(sys.modules)}' if heavy & set(sys.modules) else status)\n"
    )
    command_line = [sys.executable, "-c", program, *given, f"--out={tmp_path / 'lean.png'}"]
    done = subprocess.run(command_line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not lean.is_own_process
    assert command.run([*given, f"--out={tmp_path / 'full.png'}"]) == 0
    lean_one, full = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("lean", "full"))
    assert np.array_equal(lean_one, full)


@pytest.mark.slow
def test_what_was_hidden_can_be_imported_afterwards() -> None:
    program = (
        "import torch, importlib.metadata\n"
        "from drip_lightning import lean\n"
        "before = torch.compiler.disable, importlib.metadata.packages_distributions\n"
        "lean.is_own_process = True\n"
        "lean.import_diffusers()\n"
        "assert before == (torch.compiler.disable, importlib.metadata.packages_distributions)\n"
        "import scipy, torch._dynamo\n"
        "from diffusers.models.transformers import Transformer2DModel\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nobody_elses_process_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "diffusers", raising=False)
    lean.import_diffusers()
    assert "diffusers" not in sys.modules
