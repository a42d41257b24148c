import csv
import json
import shutil
from pathlib import Path

import pytest

import drip_lightning.cli.main as command


@pytest.fixture
def run(runs: Path, tmp_path: Path) -> Path:
    """A trained transparency stage that may be written into."""
    return Path(shutil.copytree(runs / "transparency", tmp_path / "transparency"))


def test_a_run_folder_is_all_that_is_needed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["test", str(run)]) == 0
    assert (run / "test" / "table.md").read_text() in capsys.readouterr().out
    summary = json.loads((run / "test" / "summary.json").read_text())
    assert list(summary["rows"]) == ["transparency, VAE decoder", "transparency"]
    assert (summary["format"], summary["protocol"]["count"], summary["protocol"]["region"]) == (1, 2, "unknown")
    with (run / "test" / "per_image.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    own = [float(line["alpha_sad_unknown"]) for line in lines if line["row"] == "transparency"]
    assert summary["rows"]["transparency"]["alpha_sad_unknown"]["mean"] == pytest.approx(sum(own) / 2)
    assert summary["rows"]["transparency"]["alpha_sad_unknown"]["sd"] is None
