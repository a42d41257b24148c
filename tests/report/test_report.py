import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

import drip_lightning.cli.main as command
from drip_lightning.errors import InputError
from drip_lightning.report import curves
from drip_lightning.report.report import write_report
from drip_lightning.report.variants import marginal_variants, read_variants
from drip_lightning.sweep.pictures import KINDS
from drip_lightning.sweep.plan import SweepPlan
from tests.sweep.conftest import STAGES

Swept = Callable[..., Path]


def test_the_tables_say_what_was_measured(swept: Swept) -> None:
    folder = swept()
    said = write_report(folder)
    rows = re.sub(" +", " ", said)
    # the fake's scores: 1000 + 10 p + 2 seed, 8 pictures, seeds 0 and 1: 1035 and 1037; "without attention" 40 more
    assert "| full | 1.036 ± 0.001 |" in rows
    assert "| without attention | 1.076 ± 0.001 |" in rows
    assert "| without attention | +0.040 ± 0.000 †, p = 0.008 |" in rows
    assert "| without decoder | +0.000 ± 0.000, p = 1.000 |" in rows
    assert said.startswith((folder / "report" / "table.md").read_text())
    with (folder / "report" / "table.csv").open(newline="") as file:
        lines = {line["variant"]: line for line in csv.DictReader(file)}
    worse = lines["without attention"]
    assert (worse["metric"], worse["unit"], worse["seeds"], worse["pictures"]) == (
        "alpha_sad_unknown",
        "/10³",
        "2",
        "8",
    )
    assert float(worse["mean"]) == pytest.approx(1.076)
    assert float(worse["sd"]) == pytest.approx(0.002 / np.sqrt(2))
    assert float(worse["difference"]) == pytest.approx(0.04)
    assert worse["exceeds_seeds"] == "true"
    assert lines["full"]["difference"] == ""


TWO_FACTORS = {
    "stages": {
        **STAGES,
        "denoiser": {"configs": ["base.yaml", "zero.yaml"]},
        "decoder": {"configs": ["base.yaml", "zero.yaml"], "inputs": {"model.denoiser": "{denoiser}"}},
    },
    "factors": {"decoder": {"plain": {}, "bad": {"set": {"decoder.model.worse": 100}}}},
    "set": {"denoiser.model.worse": [0, 40]},
}


def test_each_of_several_factors_has_tables_of_its_own(swept: Swept) -> None:
    folder = swept(**TWO_FACTORS)
    rows = re.sub(" +", " ", write_report(folder))
    # 1035 + 2 seed, 40 more by the denoiser, 100 more by the decoder: each value's mean over the other factor
    _, by_decoder, by_worse = rows.split("\n## ")
    assert "| plain | 1.056 ± 0.001 |" in by_decoder
    assert "| bad | 1.156 ± 0.001 |" in by_decoder
    assert "| bad | +0.100 ± 0.000 †" in by_decoder
    assert "| 0 | 1.086 ± 0.001 |" in by_worse
    assert "| 40 | +0.040 ± 0.000 †" in by_worse
    with (folder / "report" / "marginal_worse.csv").open(newline="") as file:
        lines = {line["worse"]: line for line in csv.DictReader(file)}
    assert float(lines["40"]["mean"]) == pytest.approx(1.126)
    assert (folder / "report" / "marginal_decoder.csv").is_file()


def test_a_factors_values_are_compared_where_all_were_tested(swept: Swept) -> None:
    folder = swept(**TWO_FACTORS)
    plan = SweepPlan.load(folder)
    missing = next(run for run in plan.runs if run.name == "plain-40-seed0")
    (folder / "stages" / missing.stages["test"] / "finished.json").unlink()
    none, worse = marginal_variants(plan, read_variants(plan, folder), "worse")
    assert none.per_seed("alpha_sad_unknown") == pytest.approx({0: 1035 + 100, 1: 1037 + 50})
    assert worse.per_seed("alpha_sad_unknown") == pytest.approx({0: 1035 + 140, 1: 1037 + 90})


def test_a_single_factor_has_no_tables_of_its_own(swept: Swept) -> None:
    folder = swept()
    assert "## " not in write_report(folder)
    assert not list((folder / "report").glob("marginal_*"))


def test_latex_has_a_row_a_variant_and_balanced_braces(swept: Swept) -> None:
    folder = swept(title="Noise & 100 % of it")
    write_report(folder)
    text = (folder / "report" / "table.tex").read_text()
    assert r"Noise \& 100 \% of it" in text
    assert r"without attention & $1.076 \pm 0.001^\dagger$ \\" in text
    assert text.count("{") == text.count("}")
    assert not re.search(r"[α×³±_]", text)


def test_what_is_not_finished_is_said(swept: Swept) -> None:
    said = write_report(swept(only_seeds=(0,)))
    assert "Unfinished, by seeds: full: 1 of 2; without attention: 1 of 2; without decoder: 1 of 2." in said
    assert "| full              |          1.035 |" in said


def test_a_report_needs_the_folder_alone(swept: Swept, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = swept()
    first = write_report(folder).replace(str(folder), "DIR")
    moved = folder.rename(tmp_path / "moved")
    capsys.readouterr()
    assert command.run(["report", str(moved)]) == 0
    assert capsys.readouterr().out.replace(str(moved), "DIR").strip() == first.strip()


def test_nothing_to_report_is_one_line(swept: Swept, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["report", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"drip report: no sweep in {tmp_path}: plan.json is missing")
    with pytest.raises(InputError, match=r"no run in .* is tested"):
        write_report(swept(only_seeds=()))
    with pytest.raises(InputError, match="no metric 'sad'"):
        write_report(swept(report={"metrics": ["sad"], "pictures": 0}))


def test_numbers_as_values_are_drawn_as_a_curve(swept: Swept) -> None:
    values = {str(steps): {"test": {"steps": steps}} for steps in (1, 2, 10)}
    folder = swept(factors={"sampling_steps": values})
    assert str(folder / "report" / "sampling_steps.png") in write_report(folder)
    with Image.open(folder / "report" / "sampling_steps.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 1


def test_curves_are_drawn_of_what_was_logged(swept: Swept) -> None:
    folder = swept()
    for key, stage in SweepPlan.load(folder).stages.items():
        if stage.kind == "denoiser":
            with SummaryWriter(str(folder / "stages" / key / "tensorboard")) as writer:
                for step in range(4):
                    writer.add_scalar("train/loss", 2.0 - step, step)
    assert "curves.png" in write_report(folder)


@pytest.mark.parametrize(
    ("best", "tag", "title"),
    [
        (None, "val/alpha_sad_unknown", "denoiser: alpha SAD /10³, validation"),
        (
            {"score": "val/mix/alpha_mse_unknown"},
            "val/mix/alpha_mse_unknown",
            "denoiser: alpha MSE ×10³, validation",
        ),
        ({"score": "val/loss"}, "val/loss", "denoiser: val/loss"),
    ],
)
def test_the_score_s_curve_is_of_the_one_that_the_best_checkpoint_is_best_by(
    swept: Swept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, best: dict[str, str] | None, tag: str, title: str
) -> None:
    own = tmp_path / "configs" / "tiny.yaml"
    own.write_text(yaml.safe_dump({"checkpoint": {"best": best}}))
    folder = swept()
    plan = SweepPlan.load(folder)
    for key, stage in plan.stages.items():
        if stage.kind == "denoiser":
            with SummaryWriter(str(folder / "stages" / key / "tensorboard")) as writer:
                for step in range(3):
                    writer.add_scalar(tag, 1000.0, step)
    drawn: list[Figure] = []
    monkeypatch.setattr(curves, "_saved", lambda figure, path: drawn.append(figure) or path)
    variants = [variant for variant in read_variants(plan, folder) if variant.runs]
    assert curves.draw_training_curves(plan, variants, folder, folder) == [folder / "curves.png"]
    assert [axis.get_title() for axis in drawn[0].axes] == [title]


def test_the_grid_has_a_column_a_variant(swept: Swept) -> None:
    folder = swept(seeds=[0], report={"metrics": ["alpha_sad_unknown"], "pictures": 0})
    made = SweepPlan.load(folder)
    assert "pictures.png" not in write_report(folder)
    for run in made.runs:
        pictures = folder / "stages" / run.stages["test"] / "pictures"
        pictures.mkdir()
        for kind in KINDS:
            shape = (8, 8, 3) if kind in ("image", "foreground") else (8, 8)
            Image.fromarray(np.full(shape, 90, np.uint8)).save(pictures / f"0.{kind}.png")
    text = (folder / "plan.json").read_text().replace('"pictures": 0', '"pictures": 1')
    (folder / "plan.json").write_text(text)
    assert "pictures.png" in write_report(folder)
    with Image.open(folder / "report" / "pictures.png") as picture:
        assert picture.width == 6 * 165  # image, trimap, truth and three variants, 1.5 inches of 110 pixels each
