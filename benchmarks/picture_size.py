"""Time and memory of one picture against its area, with the same share of it unknown.

    OMP_NUM_THREADS=1 python -m benchmarks.picture_size --checkpoint C [--megapixels 1 2 4 8 12] [--share 0.05]

Each row is a process of its own, with one thread. A wavy object with noise on it, its band of a width that makes up the
share; CPU seconds, the process's peak memory, and of that what it held before. `counted` is what `MemoryBound` reckons
with beyond that: it must not be less than what was taken.

    python -m benchmarks.picture_size --plan [--size 2048 3072] [--scale sd2] [--tile-size 512]

counts operations and activations of Stable Diffusion 2, or another `--scale`, for a picture that is unknown throughout;
nothing is computed.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.scales import load_scale
from benchmarks.stopwatch import peak_bytes
from drip_lightning.cost.step import operation_counter
from drip_lightning.lit.matting import MattingStage
from drip_lightning.lit.transparency import TransparencyDecoder
from drip_lightning.nn.activation_memory import run_without_content
from drip_lightning.nn.memory_bound import MemoryBound, need_of
from drip_lightning.nn.sampler import MattingSampler
from drip_lightning.ops.sizes import Layout, Sizes
from drip_lightning.ops.windows import Tiles


@dataclass(frozen=True)
class Row:
    """What one picture took."""

    seconds: float
    parts: int
    before: int
    peak: int
    counted: int


def picture(megapixels: float, share: float) -> tuple[Tensor, Tensor]:
    """Image (1, 3, H, W) and trimap (1, 1, H, W), 4:3, of whose pixels `share` are unknown."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-4 / 3, 4 / 3, height * 4 // 3), indexing="ij")
    depth = 0.7 - torch.hypot(x, y) + 0.05 * torch.sin(12 * torch.atan2(y, x))
    band = depth.abs().flatten()[::7].quantile(share) if depth.numel() < 1e7 else depth.abs()[::5, ::5].quantile(share)
    alpha = (0.5 + depth / band / 2).clamp(0, 1)
    colours = torch.tensor([[0.9, 0.6, 0.2], [0.1, 0.3, 0.5]])[:, :, None, None]
    image = colours[0] * alpha + colours[1] * (1 - alpha)
    image += 0.03 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    trimap = torch.where(depth.abs() <= band, 0.5, (depth > 0).float())
    return image.clamp_(0, 1)[None], trimap[None, None]


def measure(checkpoint: Path, megapixels: float, share: float, sizes: dict[str, int], limit: int | None) -> Row:
    """Matte a picture in this process, at these sizes and else the checkpoint's own."""
    torch.set_num_threads(1)
    sampler = MattingStage.from_checkpoint(checkpoint).sampler
    sampler = replace(sampler, sizes=replace(sampler.sizes, **sizes), memory=MemoryBound(limit))
    generators = [torch.Generator().manual_seed(0)]
    sampler(*picture(0.05, 0.2), steps=1, generators=generators)  # compiles kernels
    image, trimap = picture(megapixels, share)
    need = need_of(sampler.codec, sampler.joint_unet, sampler.decoder, sampler.hints, sampler.multiples)
    before, start, done = psutil.Process().memory_info().rss, time.process_time(), [0]
    layout = sampler._layout(trimap, [sampler.decoder])
    assert layout is not None
    sampler(image, trimap, steps=1, generators=generators, progress=lambda part, parts: done.__setitem__(0, parts))
    seconds = time.process_time() - start
    counted = need.all_of(layout, trimap.numel(), 1)
    return Row(seconds, done[0], before, peak_bytes(torch.device("cpu")), counted)


def sampler_of(scale: str) -> MattingSampler:
    """Networks of a scale's size, without weights."""
    stage = TransparencyDecoder("runs/denoiser", networks=load_scale(scale).networks)  # there is none: the default one
    stage.build_without_weights()
    stage.to("meta").to_empty(device="cpu")  # memory that nobody writes to
    return stage.sampler


def plan(sampler: MattingSampler, size: tuple[int, int], tile_size: int, *, title: str) -> Table:
    """Operations and activations for a picture (height, width) that is unknown throughout, whole and in tiles."""
    height, width = size
    table = Table("what the denoiser sees", title=title)
    for heading in ("tiles", "TFLOP of the U-Net", "of the VAE", "of D_trans", "activations, GiB"):
        table.add_column(heading, justify="right")
    need = need_of(sampler.codec, sampler.joint_unet, sampler.decoder, sampler.hints, sampler.multiples)
    for name, sizes in {
        "all of it at once": Sizes(None, None),
        f"all of it in tiles of {tile_size}": Sizes(None, tile_size),
        **{f"at most {side} at once": Sizes(side, tile_size) for side in (1024, 768, 512)},
    }.items():
        layout = sizes.layout(torch.full((1, 1, height, width), 0.5), sampler.multiples)
        assert layout is not None
        most = need.all_of(layout, height * width, 1)
        tiles = f"{len(layout.seen.each)}, {len(layout.tiles.each)}"
        flops = (f"{count / 1e12:.1f}" for count in operations(sampler, layout))
        table.add_row(name, tiles, *flops, f"{most / 2**30:.1f}")
    return table


def operations(sampler: MattingSampler, layout: Layout) -> tuple[int, int, int]:
    """Of one call of the U-Net in all tiles, of the VAE's encoder and decoder, and of D_trans."""
    channels, downsampling = sampler.codec.channels, sampler.codec.downsampling

    def denoise(joint_unet: Any, height: int, width: int) -> None:
        latent = height // downsampling, width // downsampling
        joint_unet(torch.empty(2, channels, *latent), torch.empty(1, 2 * channels, *latent), torch.empty(1))

    def encode_and_decode(codec: Any, height: int, width: int) -> None:
        codec.decode(torch.cat(codec.encode(torch.empty(1, 3, height, width), torch.empty(1, 1, height, width))))

    def decode(decoder: Any, height: int, width: int) -> None:
        maps = (torch.empty(1, count, height, width) for count in (3, 1, 3, 1))
        decoder(*maps, torch.empty(2, channels, height // downsampling, width // downsampling))

    def count(network: nn.Module, run: Callable[..., None], tiles: Tiles) -> int:
        counter = operation_counter()
        run_without_content(network, lambda own: run(own, *tiles.each[0].size), counter)  # all have one size
        return counter.get_total_flops() * len(tiles.each)

    return (
        count(sampler.joint_unet, denoise, layout.seen),
        count(sampler.codec, encode_and_decode, layout.seen),
        count(sampler.decoder, decode, layout.tiles),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="run folder, checkpoint or export; one step is taken")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 2, 4, 8, 12])
    parser.add_argument("--share", type=float, default=0.05, help="of the picture that is unknown (default: 0.05)")
    parser.add_argument("--processing-size", type=int, help="default: the checkpoint's own")
    parser.add_argument("--tile-size", type=int, help="default: the checkpoint's own; of --plan, 512")
    parser.add_argument("--memory-gb", type=float, help="bound of the process")
    parser.add_argument("--plan", action="store_true", help="count operations and activations instead")
    parser.add_argument("--scale", default="sd2", help="of configs/scale/, to count (default: sd2)")
    parser.add_argument("--size", type=int, nargs=2, default=(2048, 3072), help="height and width to count")
    arguments = parser.parse_args()
    if arguments.plan:
        height, width = arguments.size
        title = f"{arguments.scale}, {width}×{height}, all unknown, one step"
        Console().print(plan(sampler_of(arguments.scale), (height, width), arguments.tile_size or 512, title=title))
        return
    given = {"processing_size": arguments.processing_size, "tile_size": arguments.tile_size}
    sizes = {name: side for name, side in given.items() if side is not None}
    limit = None if arguments.memory_gb is None else int(arguments.memory_gb * 1e9)
    table = Table(title=f"{arguments.share:.0%} unknown, one thread")
    for heading in ("megapixels", "parts", "CPU s", "s a megapixel", "peak GB", "of that before", "counted"):
        table.add_column(heading, justify="right")
    for megapixels in arguments.megapixels:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            row = pool.apply(measure, (arguments.checkpoint, megapixels, arguments.share, sizes, limit))
        gigabytes = (f"{size / 1e9:.2f}" for size in (row.peak, row.before, row.counted))
        table.add_row(
            f"{megapixels:g}", str(row.parts), f"{row.seconds:.1f}", f"{row.seconds / megapixels:.2f}", *gigabytes
        )
    Console().print(table)


if __name__ == "__main__":
    main()
