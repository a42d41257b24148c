"""Samples a second and peak memory of the training step by size of pictures, batch and gradient checkpointing.

    python -m benchmarks.train_sweep --scale sd2 --device cuda --batches 1 2 4 8 12 16 20 24      the mark: 33 samples/s
    OMP_NUM_THREADS=1 python -m benchmarks.train_sweep --scale tiny --sizes 64 128 --batches 1 4

Every row is a process of its own: what does not fit costs its row alone. On a GPU in bf16-mixed; the share of the
peak is that of the card's dense bf16 matrix units, without what checkpointing computes again.
"""

import argparse
import itertools
import json
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.scales import load_scale
from benchmarks.step_versions import run_alone
from drip_lightning.cost.step import count_step
from drip_lightning.cost.without_content import WithoutContent
from drip_lightning.lit.denoiser import Denoiser

PEAK_TFLOPS = {"H200": 989, "H100": 989, "A100": 312, "L40S": 362, "RTX 4090": 165, "RTX 3090": 71, "A10": 125}
"""Dense bf16 with float32 accumulation, as the makers' data sheets say."""


def peak_flops() -> float | None:
    """Of the card in this machine, if its name is known."""
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    return next((1e12 * peak for known, peak in PEAK_TFLOPS.items() if known in name), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=("tiny", "small", "sd2"), default="sd2")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sizes", type=int, nargs="+", help="sides of the pictures (default: the scale's)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    scale, peak, rows = load_scale(arguments.scale), peak_flops(), []
    table = Table(title=f"{arguments.scale}, {torch.cuda.get_device_name() if peak else arguments.device}")
    for heading in ("size", "batch", "checkpointing", "seconds", "samples/s", "of the peak", "peak GiB"):
        table.add_column(heading, justify="right")
    for size in arguments.sizes or [scale.image_size]:
        empty = WithoutContent(Denoiser(scale.networks), on_gpu=arguments.device == "cuda")
        flops_a_sample = count_step(empty, samples=1, size=size).total
        for checkpointing, batch in itertools.product((False, True), arguments.batches):
            options = {"size": size, "batch": batch, "checkpointing": checkpointing}
            row = options | run_alone("here", argparse.Namespace(**vars(arguments), **options))
            rows.append(row)
            measured = [row.get("error", "")[:60], "", "", ""]
            if "error" not in row:
                speed = batch / row["seconds"]
                share = f"{speed * flops_a_sample / peak:.0%}" if peak else ""
                measured = [f"{row['seconds']:.3f}", f"{speed:.2f}", share, f"{row['peak_bytes'] / 2**30:.2f}"]
            table.add_row(str(size), str(batch), "yes" if checkpointing else "no", *measured)
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
