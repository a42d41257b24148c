"""What the benchmarks compare does the same work: the plain versions are independent ways to the same numbers."""

import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import picture_quality, picture_size, train_sweep
from benchmarks.own_step import OwnStep, build_denoiser
from benchmarks.plain_step import PlainStep
from benchmarks.scales import RandomSmall, Scale, load_scale, random_batch
from benchmarks.step_versions import take_step
from benchmarks.stopwatch import Stopwatch
from drip_lightning.cost.step import operation_counter
from drip_lightning.ops.sizes import Sizes
from tests.networks import NETWORKS
from tests.nn.test_picture import networks, picture

SMALLEST = Scale(RandomSmall(**vars(NETWORKS)), image_size=16, batch_size=3)
CPU = torch.device("cpu")


@pytest.mark.parametrize("fused", [True, False])
def test_the_own_step_trains_as_the_plain_one(fused: bool) -> None:
    own = OwnStep(build_denoiser(SMALLEST, device="cpu"))
    plain = PlainStep(build_denoiser(SMALLEST, device="cpu"), fused=fused)
    for step in (own, plain):
        for group in step.optimizer.param_groups:
            group["lr"] = 1e-2
    losses = [[take_step(step, random_batch(3, 16), Stopwatch(CPU)).item() for step in (own, plain)] for _ in range(4)]
    assert losses[0][0] != pytest.approx(losses[3][0], rel=0.05)  # the weights moved, and the same way
    for found, expected in losses:
        assert found == pytest.approx(expected, rel=1e-3)


def test_the_parts_make_up_the_whole() -> None:
    step, watch = OwnStep(build_denoiser(SMALLEST, device="cpu")), Stopwatch(CPU)
    take_step(step, random_batch(2, 16), watch)
    whole = watch.seconds.pop("whole")
    assert set(watch.seconds) == {"VAE encode", "U-Net forward", "backward", "optimizer"}
    assert 0 < sum(watch.seconds.values()) <= whole


@pytest.mark.parametrize("name", ["tiny", "small", "sd2"])
def test_scales_are_those_of_the_configurations(name: str) -> None:
    sizes = {"tiny": (64, 8), "small": (256, 8), "sd2": (512, 96)}
    scale = load_scale(name)
    assert (scale.image_size, scale.batch_size) == sizes[name]


def test_a_plan_counts_the_operations_that_a_picture_takes() -> None:
    """Of all networks and tiles: those of a real run, counted as it goes."""
    sampler, (image, trimap) = networks("unet", sizes=Sizes(None, 24)), picture(60, height=20)
    layout = sampler.sizes.layout(trimap, sampler.multiples)
    assert layout is not None
    assert len(layout.seen.each) > 1
    with operation_counter() as counter:
        sampler(image, trimap, steps=1, generators=[torch.Generator()])
    assert sum(picture_size.operations(sampler, layout)) == counter.get_total_flops() > 0


def test_a_plan_s_table_has_a_row_for_each_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_size, "operations", lambda sampler, layout: [len(layout.tiles.each) * 10**12] * 3)
    table = picture_size.plan(networks("unet"), (40, 1200), 400, title="a title")
    ways, tiles, *operations, activations = ([*column.cells] for column in table.columns)
    assert ways[:2] == ["all of it at once", "all of it in tiles of 400"]
    assert ways[2:] == [f"at most {side} at once" for side in (1024, 768, 512)]
    assert tiles == ["1, 1", "4, 4", "1, 4", "1, 4", "1, 4"]  # of 40 × 336, shared 48
    assert operations == [["1.0", "4.0", "4.0", "4.0", "4.0"]] * 3
    assert all(0 <= float(gibibytes) < 1 for gibibytes in activations)


def test_ways_are_compared_picture_by_picture() -> None:
    """Errors that are doubled on one picture and halved on another are one in the geometric mean, whatever they are."""
    sads = {"a": (1.0, 100.0, 3.0), "b": (2.0, 50.0, 6.0), "c": (1.0, 100.0)}
    rows = [
        {"way": way, "megapixels": 12 if number == 2 else 1, "picture": number, "SAD": one, "αF SAD": 1.5 * one}
        for way, own in sads.items()
        for number, one in enumerate(own)
    ]
    table = picture_quality.ratios(rows, "a")
    sizes, pictures, ways, alpha, colour = ([*column.cells] for column in table.columns)
    assert [*zip(sizes, pictures, ways, strict=True)] == [
        ("1", "2", "b"), ("1", "2", "c"), ("12", "1", "b"), ("12", "0", "c"), ("all", "3", "b"), ("all", "2", "c"),
    ]  # fmt: skip
    # of "all": (2 · 1/2 · 2)^(1/3), and 0.8 log 2 / sqrt(3) of it, 0.8 = 2 / sqrt(6) being the logs' deviation
    assert alpha == colour == ["1.000 ± 0.693", "1.000 ± 0.000", "2.000", "nan", "1.260 ± 0.582", "1.000 ± 0.000"]


@pytest.mark.slow
def test_a_batch_that_fails_costs_its_row_of_the_sweep_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rows.json"
    command = ["train_sweep", "--scale", "tiny", "--sizes", "32", "--batches", "-1", "2", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", command)
    train_sweep.main()
    rows = json.loads(file.read_text())
    assert [(row["batch"], row["checkpointing"]) for row in rows] == [(-1, False), (2, False), (-1, True), (2, True)]
    assert all("error" in row for row in rows[::2])
    assert all(row["seconds"] > 0 and row["peak_bytes"] > 1e8 for row in rows[1::2])
