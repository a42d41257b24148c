"""One training step, in its own version and in plain ones; also run alone, in a process of its own, for its memory.

python -m benchmarks.step_versions VERSION --scale small --batch 2        prints JSON
"""

import argparse
import json
import subprocess
import sys
from typing import Any, Protocol

import torch
from torch import Tensor

from benchmarks.own_step import OwnStep, build_denoiser
from benchmarks.plain_step import PlainStep
from benchmarks.scales import load_scale, random_batch
from benchmarks.stopwatch import Stopwatch, peak_bytes
from drip_lightning.data.sample import MattingBatch

VERSIONS = ("here", "plain", "plain, unfused")


class Step(Protocol):
    """What is compared."""

    optimizer: torch.optim.Optimizer

    def loss(self, batch: MattingBatch, watch: Stopwatch) -> Tensor: ...


def build_step(version: str, arguments: argparse.Namespace) -> Step:
    """The same weights for every version."""
    scale = load_scale(arguments.scale)
    stage = build_denoiser(scale, device=arguments.device, gradient_checkpointing=arguments.checkpointing)
    return OwnStep(stage) if version == "here" else PlainStep(stage, fused=version == "plain")


def take_step(step: Step, batch: MattingBatch, watch: Stopwatch) -> Tensor:
    """Loss, backward, optimizer: in bf16-mixed on a GPU, in float32 on a CPU. Returns the loss."""
    kind = watch.device.type
    with watch.whole():
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=kind == "cuda"):
            loss = step.loss(batch, watch)
        with watch.part("backward"):
            loss.backward()
        with watch.part("optimizer"):
            step.optimizer.step()
            step.optimizer.zero_grad()
    return loss.detach()


def add_step_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", choices=("tiny", "small", "sd2"), default="small")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, help="samples in a batch (default: the scale's)")
    parser.add_argument("--size", type=int, help="side of the pictures (default: the scale's)")
    parser.add_argument("--checkpointing", action="store_true", help="recompute activations in the backward pass")


def parse_step_arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse, and fill in what the scale says."""
    add_step_arguments(parser)
    arguments = parser.parse_args()
    scale = load_scale(arguments.scale)
    arguments.batch = arguments.batch or scale.batch_size
    arguments.size = arguments.size or scale.image_size
    return arguments


def run_alone(version: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Take steps in a process of its own: `seconds` of the fastest and `peak_bytes`, or an `error`."""
    command = [sys.executable, "-m", "benchmarks.step_versions", version]
    for name in ("scale", "device", "batch", "size"):
        command += [f"--{name}", str(getattr(arguments, name))]
    command += ["--checkpointing"] if arguments.checkpointing else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", choices=VERSIONS)
    arguments = parse_step_arguments(parser)
    device = torch.device(arguments.device)
    step, batch = build_step(arguments.version, arguments), random_batch(arguments.batch, arguments.size, device)
    seconds = []
    for _ in range(5 if device.type == "cuda" else 2):
        take_step(step, batch, watch := Stopwatch(device, parts=False))
        seconds.append(watch.seconds["whole"])
    print(json.dumps({"seconds": min(seconds), "peak_bytes": peak_bytes(device)}))


if __name__ == "__main__":
    main()
