"""The model that comes with the package: it mattes, it is small, and it says what it is."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor

from drip_lightning import MattingPipeline, shipped
from drip_lightning.cli import main as command
from drip_lightning.ops.metrics import sad

LEMUR = Path(__file__).parents[1] / "examples/lemur/evaluation"


def _pixels(path: Path) -> Tensor:
    return torch.from_numpy(np.asarray(Image.open(path).convert("L"), np.float32))[None, None] / 255


def test_it_mattes_a_picture_that_it_has_never_seen() -> None:
    """Alpha's SAD /10³ is 4.2 for the trimap alone and 0.84 for closed-form matting."""
    image, trimap = (Image.open(LEMUR / part / "cvo9xd.png") for part in ("image", "trimap"))
    matte = MattingPipeline.from_pretrained()(image, trimap, output_type="pt")
    unknown = (_pixels(LEMUR / "trimap/cvo9xd.png") * 2).round() == 1
    assert sad(matte.alpha[0][None], _pixels(LEMUR / "alpha/cvo9xd.png"), unknown).item() < 1000


def test_it_is_small_and_brings_its_records() -> None:
    files = [file for file in shipped.MODEL.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files if "__pycache__" not in file.parts) <= 12_000_000
    assert {"autoencoder.yaml", "denoiser.log.csv", "transparency.provenance.json", "data.csv"} <= {
        file.name for file in shipped.MODEL.glob("training/*")
    }
    card = (shipped.MODEL / "README.md").read_text()
    assert "training/data.csv" in card
    assert "with diffusers, torch, numba and pymatting alone" in card  # its hints'


def test_it_and_its_recipe_work_in_the_same_tiles() -> None:
    index = json.loads((shipped.MODEL / "model_index.json").read_text())
    stages = [stage["init_args"]["tile_size"] for stage in index["drip"]["stages"]]
    recipe = [
        yaml.safe_load((shipped.FOLDER / f"model/{stage}.yaml").read_text())["model"]["init_args"]["tile_size"]
        for stage in ("denoiser", "transparency")
    ]
    assert stages == recipe == [index["default_tile_size"]] * 2


def test_a_damaged_copy_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shipped, "MODEL", Path(shutil.copytree(shipped.MODEL, tmp_path / "model")))
    weights = next((tmp_path / "model/unet").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    picture = LEMUR / "image/cvo9xd.png"
    given = ["matte", str(picture), f"--trimap={LEMUR / 'trimap/cvo9xd.png'}", f"--out={tmp_path / 'out'}"]
    assert command.run(given) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "is damaged" in line]
    assert len(errors) == 1
    assert weights.name in errors[0]
    assert list(tmp_path.glob("out/*")) == []
