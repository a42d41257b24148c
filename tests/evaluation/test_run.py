import csv
import errno
import io
import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from drip_lightning.data.sample import MattingBatch
from drip_lightning.data.shards.reader import ShardFolder
from drip_lightning.errors import InputError, RunError
from drip_lightning.evaluation.journal import Journal
from drip_lightning.evaluation.method import Trimap
from drip_lightning.evaluation.plan import EvaluationPlan
from drip_lightning.evaluation.run import EvaluationReport, conclude, evaluate, quiet_trainer
from drip_lightning.lit.callbacks.progress import RunProgressBar
from tests.evaluation.mattes import Noisy
from tests.shards import evaluation_shards, write_shards


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Three pictures."""
    return evaluation_shards(tmp_path / "shards")


def run(methods: list, out: Path, data: str, *, overwrite: bool = False, **settings: object) -> EvaluationReport:
    plan = EvaluationPlan(data=data, out=out, **settings)
    report = evaluate(methods, plan, trainer=quiet_trainer("cpu", 1, "32-true"), overwrite=overwrite)
    assert report is not None
    return report


def lines(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((out / "per_image.csv").read_text())))


def test_every_file_is_written_and_tells_the_same(data: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = run([Trimap(), Noisy()], out, data, steps=(1, 4), seeds=(0, 1))
    names = {"per_image.csv", "summary.json", "table.md", "worst.png", "steps.csv", "steps.png", "results"}
    assert {path.name for path in out.iterdir()} == names
    assert report.table == (out / "table.md").read_text()
    summary = json.loads((out / "summary.json").read_text())
    assert summary["protocol"]["count"] == 3
    assert summary["protocol"]["foregrounds"] == 2  # the first has no true one
    rows = ["trimap", "noisy, 1 step", "noisy, 4 steps"]
    assert list(summary["rows"]) == list(summary["strata"]) == rows
    per_image = lines(out)
    assert [(line["row"], line["seed"]) for line in per_image[::3]] == [
        ("trimap", "0"), *((row, seed) for row in rows[1:] for seed in "01"),
    ]  # fmt: skip
    own = [line for line in per_image if line["row"] == rows[1]]
    sads = {seed: [float(line["alpha_sad_unknown"]) for line in own if line["seed"] == seed] for seed in "01"}
    means = [sum(values) / 3 for values in sads.values()]
    score = summary["rows"]["noisy, 1 step"]["alpha_sad_unknown"]
    assert score["mean"] == pytest.approx(sum(means) / 2)
    assert score["sd"] == pytest.approx(abs(means[0] - means[1]) / 2**0.5)
    assert f"{score['mean'] / 1000:.3f} ± {score['sd'] / 1000:.3f}" in report.table
    with Image.open(out / "worst.png") as sheet:
        assert sheet.width == 5 * 240
    points = list(csv.DictReader(io.StringIO((out / "steps.csv").read_text())))
    assert [(point["row"], point["steps"]) for point in points] == [("noisy", "1"), ("noisy", "4")]
    assert float(points[0]["alpha_sad_unknown"]) == pytest.approx(score["mean"])


@pytest.mark.parametrize("worst", [1, 3])
def test_as_many_of_the_worst_cases_are_drawn_as_are_asked_for(data: str, tmp_path: Path, worst: int) -> None:
    run([Noisy()], tmp_path / "out", data, worst=worst)
    assert len(list((tmp_path / "out" / "results" / "worst").iterdir())) == worst
    run([Noisy()], tmp_path / "few", data, worst=1)
    heights = [Image.open(tmp_path / folder / "worst.png").height for folder in ("few", "out")]
    assert (heights[1] > heights[0]) == (worst > 1)


def test_a_method_can_tell_the_bar_how_far_a_picture_is(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Telling(Noisy):
        def mattes(self, batch: MattingBatch, **settings: object) -> tuple:
            self.progress(batch["number"][0], 3)
            return super().mattes(batch, **settings)

    told: list[tuple[int, int]] = []
    monkeypatch.setattr(RunProgressBar, "tell_parts", lambda bar, done, total: told.append((done, total)))
    run([Trimap(), Telling()], tmp_path / "out", data)
    assert told == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_a_picture_too_big_for_the_memory_costs_itself_alone(data: str, tmp_path: Path, error: Exception) -> None:
    class Small(Noisy):
        def mattes(self, batch: MattingBatch, **settings: object) -> tuple:
            if batch["number"] == [1]:
                raise error
            return super().mattes(batch, **settings)

    report = run([Trimap(), Small()], tmp_path / "out", data)
    assert list(report.excluded) == [1]
    assert "is too big for the memory of cpu: give a smaller tile size" in report.excluded[1]
    assert {line["row"] for line in lines(tmp_path / "out")} == {"trimap", "noisy"}
    assert {line["key"] for line in lines(tmp_path / "out")} == {"e000", "e002"}
    with pytest.raises(InputError, match="1 pictures were left out"):
        conclude(report, EvaluationPlan(data=data, out=tmp_path / "out"))


def test_a_defect_is_no_lack_of_memory(data: str, tmp_path: Path) -> None:
    class Broken(Noisy):
        def mattes(self, batch: MattingBatch, **settings: object) -> tuple:
            raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot"):
        run([Broken()], tmp_path / "out", data)


def test_the_foreground_s_channels_are_added_or_averaged(data: str, tmp_path: Path) -> None:
    added = run([Trimap()], tmp_path / "sum", data)
    averaged = run([Trimap()], tmp_path / "mean", data, foreground_channels="mean")
    assert "channels added" in added.table
    assert "mean of the channels" in averaged.table
    for one, other in zip(lines(tmp_path / "sum"), lines(tmp_path / "mean"), strict=True):
        assert one["alpha_sad_unknown"] == other["alpha_sad_unknown"]
        for name in ("foreground_sad_unknown", "foreground_mse_unknown"):
            assert bool(one[name]) == bool(other[name])
            assert float(one[name] or 0) == pytest.approx(3 * float(other[name] or 0))


def test_interrupted_it_goes_on_and_ends_as_if_it_had_not_been(data: str, tmp_path: Path) -> None:
    class Interrupted(Noisy):
        def mattes(self, batch: MattingBatch, **settings: object) -> tuple:
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().mattes(batch, **settings)

    with pytest.raises(KeyboardInterrupt):
        run([Trimap(), Interrupted()], tmp_path / "parts", data)
    assert not (tmp_path / "parts" / "summary.json").exists()
    again = Noisy()
    run([Trimap(), again], tmp_path / "parts", data)
    assert [number for number, *_ in again.asked] == [2]
    run([Trimap(), Noisy()], tmp_path / "whole", data)
    for line, other in zip(lines(tmp_path / "parts"), lines(tmp_path / "whole"), strict=True):
        assert {**line, "seconds": ""} == {**other, "seconds": ""}
    finished = Noisy()
    run([Trimap(), finished], tmp_path / "parts", data)
    assert finished.asked == []
    with pytest.raises(InputError, match=r"another protocol \(seeds"):
        run([Trimap(), Noisy()], tmp_path / "parts", data, seeds=(1,))
    run([Trimap(), Noisy()], tmp_path / "parts", data, seeds=(1,), overwrite=True)


def test_a_broken_picture_is_left_out_of_every_row_and_told(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = [ShardFolder(data)[number] for number in range(3)]
    samples[1] = {**samples[1], "alpha.png": samples[1]["alpha.png"][:40]}
    broken = write_shards(
        tmp_path / "broken",
        [{k: v for k, v in one.items() if k in ("__key__",) or k.endswith("png")} for one in samples],
    )
    report = run([Trimap(), Noisy()], tmp_path / "out", broken)
    assert list(report.excluded) == [1]
    assert "e001.alpha.png" in report.excluded[1]
    assert "left out: e001.alpha.png" in capsys.readouterr().err
    assert "**left out: 1 images**" in report.table
    protocol = json.loads((tmp_path / "out" / "summary.json").read_text())["protocol"]
    assert (protocol["count"], [one["number"] for one in protocol["excluded"]]) == (2, [1])
    assert [line["key"] for line in lines(tmp_path / "out")] == ["e000", "e002"] * 2


def test_a_picture_that_one_method_cannot_matte_is_left_out_of_every_row(data: str, tmp_path: Path) -> None:
    class Picky(Noisy):
        def mattes(self, batch: MattingBatch, **settings: object) -> tuple:
            if batch["key"] == ["e002"]:
                raise InputError("too odd for me")
            return super().mattes(batch, **settings)

    report = run([Trimap(), Picky()], tmp_path / "out", data)
    assert report.excluded == {2: "e002: too odd for me"}
    assert {line["key"] for line in lines(tmp_path / "out")} == {"e000", "e001"}


def test_the_first_pictures_alone(data: str, tmp_path: Path) -> None:
    run([Trimap()], tmp_path / "out", data, limit=2, region="whole")
    assert [line["key"] for line in lines(tmp_path / "out")] == ["e000", "e001"]
    assert "alpha_sad_whole" in lines(tmp_path / "out")[0]


def test_two_methods_of_one_name_are_refused(data: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two methods are both called 'trimap'"):
        run([Trimap(), Trimap()], tmp_path / "out", data)


@pytest.mark.parametrize("writes", range(2, 6))
def test_a_disk_that_refuses_is_one_line_and_what_was_measured_is_kept(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """Two writes open the journal, each picture is one, and then come the tables."""
    done, to_disk = iter(range(writes)), os.fsync

    def refuse(descriptor: int) -> None:
        if next(done, None) is None:
            raise OSError(errno.EROFS, "Read-only file system")
        to_disk(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(RunError, match=r"cannot write to .*out.* \(Read-only file system\): free some space or"):
            run([Trimap()], tmp_path / "out", data)
    assert len(Journal(tmp_path / "out" / "results").results()) == min(3, writes - 1)
    assert lines_of(run([Trimap()], tmp_path / "out", data)) == lines_of(run([Trimap()], tmp_path / "whole", data))


def lines_of(report: EvaluationReport) -> list[str]:
    """The rows of a table without their last column, seconds."""
    return [line.rsplit("|", 2)[0] for line in report.table.splitlines() if line.startswith("| trimap")]
