import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from lightning.pytorch import Trainer

from drip_lightning.cli.configuration import FitConfigurations
from tests.runs import CONFIGS

_TRAINER = "from typing import Optional, Union\ndef train(batches: Optional[Union[int, float]] = None): ...\n"
_OTHER = "from typing import Optional, Union\nHEIGHT = Optional[Union[float, int]]\n"
_PROGRAM = """
import {0}, {1}
from jsonargparse import ArgumentParser
from drip_lightning.cli.integers import keep_integers
keep_integers()
parser = ArgumentParser()
parser.add_function_arguments(trainer.train)
print(*(parser.parse_args([f"--batches={{value}}"]).batches for value in ("1", "1.0", "null")))
"""


@pytest.mark.parametrize("order", [("trainer", "other"), ("other", "trainer")])
def test_integers_stay_integers_whoever_is_imported_first(tmp_path: Path, order: tuple[str, str]) -> None:
    (tmp_path / "trainer.py").write_text(_TRAINER)
    (tmp_path / "other.py").write_text(_OTHER)
    (tmp_path / "program.py").write_text(_PROGRAM.format(*order))
    done = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, ["1", "1.0", "None"]), done.stderr


@pytest.mark.slow
def test_the_trainer_s_stay_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    hints = inspect.unwrap(Trainer.__init__).__annotations__
    monkeypatch.setitem(hints, "limit_val_batches", float | int | None)  # as other imports may leave it
    configs = [f"--config={CONFIGS / name}.yaml" for name in ("denoiser", "scale/tiny")]
    trainer = {}
    for more in ("limit_val_batches=1", "val_check_interval=0.5", "devices=1", "fast_dev_run=true"):
        trainer |= {more: yaml.safe_load(FitConfigurations()([*configs, f"--trainer.{more}"]))["trainer"]}
    assert repr(trainer["limit_val_batches=1"]["limit_val_batches"]) == "1"
    assert repr(trainer["val_check_interval=0.5"]["val_check_interval"]) == "0.5"  # and not the text of a duration
    assert repr(trainer["devices=1"]["devices"]) == "1"
    assert trainer["fast_dev_run=true"]["fast_dev_run"] is True
