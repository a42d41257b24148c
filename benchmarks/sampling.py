"""Seconds a picture, by steps and size, against diffusers' MarigoldDepthPipeline with a U-Net of the same size.

    OMP_NUM_THREADS=1 python -m benchmarks.sampling [--scale small] [--device cpu] [--steps 1 4 10] [--sizes 256]

Marigold makes one map of a picture; this project makes two, foreground and alpha, of a picture and a trimap: twice the
work of encoder, U-Net and decoder, and more where attention crosses domains: the last column is the U-Net's operations
for two maps by those for one. Random weights, the same VAE, one picture at a time, in turns; medians count.
"""

import argparse
import copy
import itertools
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.marigold import MarigoldDepthPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from rich.console import Console
from rich.table import Table

from benchmarks.own_step import build_denoiser
from benchmarks.scales import Scale, load_scale, random_batch
from benchmarks.stopwatch import Stopwatch
from drip_lightning.cost.step import count_step
from drip_lightning.cost.without_content import WithoutContent
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.nn.attention import CrossDomainAttention, DomainAttention, IndependentAttention

ATTENTIONS = {"cross": CrossDomainAttention(), "independent": IndependentAttention()}


def marigold(scale: Scale, stage: Denoiser, device: str) -> MarigoldDepthPipeline:
    """Diffusers' own pipeline for one map: random U-Net, the stage's VAE, the empty prompt given."""
    config = {name: value for name, value in scale.networks.unet().config.items() if not name.startswith("_")}
    pipeline = MarigoldDepthPipeline(
        unet=UNet2DConditionModel.from_config(config | {"in_channels": 2 * config["out_channels"]}),
        vae=copy.deepcopy(stage.codec.vae).to(memory_format=torch.contiguous_format),
        scheduler=DDIMScheduler(prediction_type="v_prediction", timestep_spacing="trailing", clip_sample=False),
        text_encoder=None,
        tokenizer=None,
        prediction_type="depth",
    ).to(device)
    pipeline.empty_text_embedding = stage.joint_unet.prompt_embedding
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def ways(scale: Scale, device: str, attention: DomainAttention) -> dict[str, Callable[[int, int], None]]:
    """The two pipelines as functions of size and steps."""
    stage = build_denoiser(scale, device=device, attention=attention).eval()
    depth, matting = marigold(scale, stage, device), stage.sampler

    def here(size: int, steps: int) -> None:
        batch = random_batch(1, size, device)
        matting(batch["image"], batch["trimap"], steps=steps, generators=[torch.Generator().manual_seed(0)])

    def there(size: int, steps: int) -> None:
        depth(
            random_batch(1, size, device)["image"], num_inference_steps=steps, processing_resolution=0, output_type="pt"
        )

    return {"here, two maps": here, "Marigold, one map": there}


def operations_by_one_map(scale: Scale, size: int, attention: DomainAttention) -> float:
    """Of a call of the U-Net; for one map they are half of those for two that do not attend to each other."""
    joint, apart = (
        count_step(
            WithoutContent(Denoiser(scale.networks, attention=kind), on_gpu=False), samples=1, size=size
        ).operations["denoiser"]
        for kind in (attention, IndependentAttention())
    )
    return 2 * joint / apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=("tiny", "small", "sd2"), default="small")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 4, 10])
    parser.add_argument("--sizes", type=int, nargs="+", help="sides of the pictures (default: the scale's)")
    parser.add_argument("--attention", choices=ATTENTIONS, default="cross", help="across domains, or in each alone")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    scale, device = load_scale(arguments.scale), torch.device(arguments.device)
    pipelines = ways(scale, arguments.device, ATTENTIONS[arguments.attention])

    table = Table(
        "size", "steps", title=f"{arguments.scale}, {device}, seconds a picture, median of {arguments.rounds}"
    )
    for heading in (*pipelines, "ratio", "U-Net's operations"):
        table.add_column(heading, justify="right")
    rows, sizes = [], arguments.sizes or [scale.image_size]
    operations = {size: operations_by_one_map(scale, size, ATTENTIONS[arguments.attention]) for size in sizes}
    for size, steps in itertools.product(sizes, arguments.steps):
        taken: dict[str, list[float]] = {name: [] for name in pipelines}
        for _ in range(arguments.rounds + 1):
            for name, run in pipelines.items():
                watch = Stopwatch(device)
                with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"), watch.whole():
                    run(size, steps)
                taken[name].append(watch.seconds["whole"])
        seconds = {name: statistics.median(all_[1:]) for name, all_ in taken.items()}  # the first warms up
        here, there = seconds.values()
        ratios = here / there, operations[size]
        table.add_row(
            str(size), str(steps), *(f"{one:.3f}" for one in (here, there)), *(f"{one:.2f}" for one in ratios)
        )
        rows.append({"size": size, "steps": steps, **seconds, "operations": operations[size]})
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
