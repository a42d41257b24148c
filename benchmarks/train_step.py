"""Times the denoiser's training step by parts, and against the step as it is usually written.

    OMP_NUM_THREADS=1 python -m benchmarks.train_step [--scale small] [--device cpu] [--batch 2] [--rounds 3]

Same weights, same batch, same random draws, in turns; medians count. There are two plain steps (see
benchmarks/plain_step.py): with fused attention, and with scores and softmax. Peak memory is that of a process of its
own, which takes two steps. Reading and composing a batch is timed for itself: in training, workers do that meanwhile.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.scales import random_batch
from benchmarks.step_versions import VERSIONS, build_step, parse_step_arguments, run_alone, take_step
from benchmarks.stopwatch import Stopwatch
from drip_lightning.data.synth.folders import synthesise
from drip_lightning.data.synth.samples import SynthSettings
from drip_lightning.lit.datamodule import MattingDataModule

PARTS = ("VAE encode", "U-Net forward", "backward", "optimizer", "rest")


def compare(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Median seconds of the parts, and losses, of each version; the first of the rounds warms up and does not count."""
    device = torch.device(arguments.device)
    steps = {name: build_step(name, arguments) for name in VERSIONS}
    batch = random_batch(arguments.batch, arguments.size, device)
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in VERSIONS}
    losses: dict[str, list[float]] = {name: [] for name in VERSIONS}
    for _ in range(arguments.rounds + 1):
        for name, step in steps.items():
            whole = parts = Stopwatch(device, parts=device.type == "cpu")
            losses[name].append(take_step(step, batch, whole).item())
            if device.type == "cuda":  # to time a part is to wait for it, which the whole must not
                take_step(step, batch, parts := Stopwatch(device))
            rest = parts.seconds["whole"] - sum(parts.seconds.get(part, 0) for part in PARTS)
            rounds[name].append({**parts.seconds, "rest": rest, "whole": whole.seconds["whole"]})
    tolerance = 0.05 if device.type == "cuda" else 1e-3
    for name in VERSIONS:
        found, expected = (torch.tensor(losses[one]) for one in (name, "here"))
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=0)
    return {
        name: {
            "seconds": {part: statistics.median(one[part] for one in taken[1:]) for part in ("whole", *PARTS)},
            "losses": losses[name],
        }
        for name, taken in rounds.items()
    }


def data_seconds(arguments: argparse.Namespace) -> float:
    """Seconds to read, crop and compose one batch in this process, from procedural shards."""
    with tempfile.TemporaryDirectory() as folder:
        counts = {"foregrounds": 4, "backgrounds": 4, "evaluation": 1}
        settings = SynthSettings(size=max(64, arguments.size))
        synthesise(Path(folder), counts=counts, settings=settings, workers=1, say=lambda message: None)  # type: ignore[arg-type]
        data = MattingDataModule(
            f"{folder}/foregrounds",
            f"{folder}/backgrounds",
            image_size=arguments.size,
            batch_size=arguments.batch,
            num_workers=0,
        )
        data.trainer = argparse.Namespace(global_rank=0, world_size=1, global_step=0, accumulate_grad_batches=1)
        data.setup("fit")
        batches = iter(data.train_dataloader())
        data.on_after_batch_transfer(next(batches), 0)  # reads the shards
        start = time.perf_counter()
        data.on_after_batch_transfer(next(batches), 0)
        return time.perf_counter() - start


def show(result: dict[str, Any], arguments: argparse.Namespace) -> None:
    title = (
        f"{arguments.scale}, {arguments.size}×{arguments.size}, batch {arguments.batch}, {arguments.device}, "
        f"{torch.get_num_threads()} threads, median of {arguments.rounds}"
    )
    table = Table("seconds", title=title)
    for name in VERSIONS:
        table.add_column(name, justify="right")
    for part in (*PARTS, "whole"):
        table.add_row(part, *(f"{result[name]['seconds'][part]:.3f}" for name in VERSIONS))
    table.add_section()
    whole = {name: result[name]["seconds"]["whole"] for name in VERSIONS}
    table.add_row("samples/s", *(f"{arguments.batch / whole[name]:.3f}" for name in VERSIONS))
    table.add_row("this is faster", *(f"{whole[name] / whole['here']:.2f} ×" for name in VERSIONS))
    table.add_row("peak memory, GiB", *(f"{result[name]['peak_bytes'] / 2**30:.2f}" for name in VERSIONS))
    table.add_row("first loss", *(f"{result[name]['losses'][0]:.5f}" for name in VERSIONS))
    Console().print(table)
    print(f"data: {result['data_seconds']:.3f} s a batch, in workers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each version is timed (default: %(default)s)")
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="do not measure peak memory")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parse_step_arguments(parser)
    result: dict[str, Any] = {"data_seconds": data_seconds(arguments)}
    memory = {name: run_alone(name, arguments) if arguments.memory else {} for name in VERSIONS}
    for name, figures in compare(arguments).items():
        result[name] = figures | {"peak_bytes": memory[name].get("peak_bytes", float("nan"))}
    show(result, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
