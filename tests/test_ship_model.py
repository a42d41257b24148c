"""What goes into the package with a trained model: weights, card, and the records of how it came about."""

import importlib.util
import json
from pathlib import Path

import pytest
import yaml

from drip_lightning.lit.matting import MattingStage

SCRIPT = Path(__file__).parents[1] / "scripts" / "ship_model.py"
SOURCES = """\
file,kind,width,height,source,licence,attribution
foregrounds/a.webp,hair,8,8,somewhere,CC0-1.0,none
foregrounds/b.webp,hair,8,8,somewhere,CC0-1.0,none
backgrounds/c.jpg,photograph,8,8,elsewhere,MIT,Somebody
"""


def test_a_model_is_shipped_with_its_records(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("ship_model", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "MODEL", tmp_path / "model")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "list.csv").write_text(SOURCES)
    for _ in range(2):  # over an earlier one, too
        script.main(runs, tmp_path / "data")

    assert MattingStage.from_checkpoint(tmp_path / "model").weights
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| foregrounds, hair | somewhere | CC0-1.0 | 2 |\n" in card
    assert "| backgrounds, photograph | elsewhere | MIT | 1 |\n" in card
    assert "must not be used" in card
    records = tmp_path / "model" / "training"
    assert (records / "data.csv").read_text() == SOURCES
    for stage in ("autoencoder", "denoiser", "transparency"):
        assert yaml.safe_load((records / f"{stage}.yaml").read_text())["trainer"]["max_steps"] == 2
        assert "platform" not in json.loads((records / f"{stage}.provenance.json").read_text())[-1]
        log = (records / f"{stage}.log.csv").read_text().splitlines()
        assert log[0] == "step,name,value"
        assert any(line.split(",")[1].startswith("val/") for line in log[1:])
