"""Time and memory of one picture against its area, with the same share of it unknown.

    OMP_NUM_THREADS=1 python -m benchmarks.picture_size --checkpoint C [--megapixels 1 2 4 8 12] [--share 0.05]

Each row is a process of its own, with one thread. A wavy object with noise on it, its band of a width that makes up the
share; CPU seconds, the process's peak memory, and of that what it held before. `counted` is what `MemoryBound` reckons
with beyond that: it must not be less than what was taken.

    python -m benchmarks.picture_size --plan [--size 2048 3072]

counts operations and activations of Stable Diffusion 2 for a picture that is unknown throughout; nothing is computed.
"""

import argparse
import multiprocessing
import time
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.scales import load_scale
from benchmarks.stopwatch import peak_bytes
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.matting import MattingStage
from drip_lightning.nn.memory_bound import MemoryBound, need_of
from drip_lightning.ops.sizes import Sizes


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


def measure(checkpoint: Path, megapixels: float, share: float, sizes: Sizes | None, limit: int | None) -> Row:
    """Matte a picture in this process."""
    torch.set_num_threads(1)
    sampler = MattingStage.from_checkpoint(checkpoint).sampler
    sampler = replace(sampler, sizes=sizes or sampler.sizes, memory=MemoryBound(limit))
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


def plan(size: tuple[int, int]) -> Table:
    """Operations and activations at SD 2's size, whole and in tiles."""
    height, width = size
    table = Table("what the denoiser sees", title=f"sd2, {width}×{height}, all unknown, a call of the U-Net")
    for heading in ("TFLOP", "activations, GiB"):
        table.add_column(heading, justify="right")
    stage = Denoiser(load_scale("sd2").networks)
    stage.build_without_weights()
    stage.to("meta")
    for name, sizes in {
        "all of it at once": Sizes(None, None),
        "all of it in tiles of 512": Sizes(None, 512),
        "at most 1024 at once": Sizes(1024, 512),
        "at most 768 at once": Sizes(768, 512),
        "at most 512 at once": Sizes(512, 512),
    }.items():
        multiples = stage.sampler.multiples
        layout = sizes.layout(torch.full((1, 1, height, width), 0.5), multiples)
        assert layout is not None
        need = need_of(stage.codec, stage.joint_unet, stage.sampler.decoder, stage.sampler.hints, multiples)
        flops = sum(unet_flops(stage, tile.size) for tile in layout.seen.each)
        most = need.all_of(layout, height * width, 1)
        table.add_row(name, f"{flops / 1e12:.1f}", f"{most / 2**30:.1f}")
    return table


def unet_flops(stage, size: tuple[int, int]) -> int:
    """Of both domains of a tile of (H, W) seen pixels."""
    latent = [side // stage.codec.downsampling for side in size]
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        stage.joint_unet(torch.empty(2, 4, *latent), torch.empty(1, 8, *latent), torch.empty(1))
    return counter.get_total_flops()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="run folder, checkpoint or export; one step is taken")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 2, 4, 8, 12])
    parser.add_argument("--share", type=float, default=0.05, help="of the picture that is unknown (default: 0.05)")
    parser.add_argument("--processing-size", type=int)
    parser.add_argument("--tile-size", type=int)
    parser.add_argument("--memory-gb", type=float, help="bound of the process")
    parser.add_argument("--plan", action="store_true", help="count Stable Diffusion 2 instead")
    parser.add_argument("--size", type=int, nargs=2, default=(2048, 3072), help="height and width to count")
    arguments = parser.parse_args()
    if arguments.plan:
        Console().print(plan(tuple(arguments.size)))
        return
    sizes = Sizes(arguments.processing_size, arguments.tile_size or 512)
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
