import csv
import itertools
import os
from pathlib import Path

import pytest

from drip_lightning.cli.fit import run
from drip_lightning.errors import InputError
from drip_lightning.lit.callbacks.learning_rate_range import LearningRateRange
from tests.runs import CONFIGS, tiny_arguments
from tests.same_run import differences

EMA = f"--config={CONFIGS / 'ablation' / 'ema.yaml'}"


def _callback(name: str, **init_args: float) -> str:
    settings = ", ".join(f"{key}: {value}" for key, value in init_args.items())
    return f"--trainer.callbacks=[{{class_path: {name}, init_args: {{{settings}}}}}]"


@pytest.mark.slow
def test_a_range_test_tells_what_it_tried_and_leaves_the_run_as_it_was(
    synth: Path, runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Averages included, which begin after it."""
    tested, plain = tmp_path / "tested", tmp_path / "plain"
    folders = {tested: _callback("LearningRateRange", min_lr=1e-6, max_lr=1e-2, steps=20), plain: EMA}
    with caplog.at_level("INFO"):
        for folder, more in folders.items():
            run(tiny_arguments("denoiser", synth, runs, EMA, more, f"--trainer.default_root_dir={folder}"))
    assert set(differences(tested, plain)) <= {"checkpoint.run.random.0.torch"}
    with (tested / "learning_rates.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    rates = [float(line["learning_rate"]) for line in lines]
    assert len(rates) == 20
    ratios = [later / former for former, later in itertools.pairwise(rates)]
    assert ratios[1:] == pytest.approx([1e4 ** (1 / 20)] * 18, rel=1e-3)  # Lightning's finder leaves the second out
    assert all(float(line["loss"]) > 0 for line in lines)
    assert any(message.startswith("learning rate: it fell fastest at ") for message in caplog.messages)
    assert sorted(os.listdir(tested)) == sorted([*os.listdir(plain), "learning_rates.csv"])


def test_a_finder_that_would_set_the_rate_is_refused(synth: Path, runs: Path, tmp_path: Path) -> None:
    more = (_callback("LearningRateFinder"), f"--trainer.default_root_dir={tmp_path}")
    with pytest.raises(InputError, match=r"^LearningRateFinder would set .* take LearningRateRange"):
        run(tiny_arguments("denoiser", synth, runs, *more))


@pytest.mark.parametrize("settings", [{"min_lr": 0.0}, {"min_lr": 2.0}, {"steps": 5}])
def test_an_impossible_range_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected 0 < min_lr < max_lr and at least 20 steps"):
        LearningRateRange(**settings)  # type: ignore[arg-type]
