"""What hints and D_trans that takes them cost: milliseconds of each hint on 800×600, and samples a second in training.

    OMP_NUM_THREADS=1 python -m benchmarks.hints [--runs 11]

One thread; the ways of a table take turns in one process, and medians count. Hints are timed on the CPU's clock, on
the example picture, enlarged, and on noise, where rays go furthest; the decoders, forward and backward, on batches of
eight of 128².
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from drip_lightning.nn.half_size import HalfSizeUNetDecoderModule
from drip_lightning.nn.transparency import LatentDecoder, UNetDecoderModule
from drip_lightning.ops.hints.choice import CHANNELS
from drip_lightning.ops.hints.colours import propagated_colours, sampled_colours
from drip_lightning.ops.trimap import quantise_trimap
from drip_lightning.shipped import EXAMPLES

SIZE = 600, 800
UNKNOWN_SHARE = 0.15
SIDE, BATCH = 128, 8


def picture(seed: int) -> tuple[Tensor, Tensor]:
    """Noise, and a wavy object in its middle with an unknown band around."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(256, (1, 3, *SIZE), generator=generator) / 255
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, side) for side in SIZE), indexing="ij")
    depth = 0.6 - torch.hypot(x, y) + 0.05 * torch.sin(12 * torch.atan2(y, x))
    band = depth.abs().flatten().kthvalue(int(UNKNOWN_SHARE * depth.numel())).values
    return image, torch.where(depth.abs() <= band, 0.5, (depth > 0).float())[None, None]


def photograph() -> tuple[Tensor, Tensor]:
    """The example picture, a lemur, enlarged."""
    with Image.open(EXAMPLES / "lemur/image.png") as picture, Image.open(EXAMPLES / "lemur/trimap.png") as guide:
        image = np.asarray(picture.convert("RGB").resize(SIZE[::-1], Image.Resampling.LANCZOS))
        trimap = np.asarray(guide.convert("L").resize(SIZE[::-1], Image.Resampling.NEAREST))
    pixels, grey = (torch.from_numpy(one / np.float32(255)) for one in (image, trimap))
    return pixels.permute(2, 0, 1)[None], quantise_trimap(grey)[None, None]


def trained(decoder: LatentDecoder, hints: int) -> Callable[[], None]:
    """A training step's forward and backward pass on noise."""
    channels = (3, 1, 3, 1)
    maps = [torch.rand(BATCH, count, SIDE, SIDE) for count in channels]
    latents = torch.randn(2 * BATCH, 4, SIDE // 8, SIDE // 8)
    more = [] if isinstance(decoder, UNetDecoderModule) else [torch.rand(BATCH, CHANNELS * hints, SIDE, SIDE)]

    def step() -> None:
        foreground, alpha = decoder(*maps, latents, *more)
        (foreground.square().mean() + alpha.square().mean()).backward()

    return step


def medians(ways: Mapping[str, Callable[[], object]], runs: int, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds of each way, run in turns; a first run compiles."""
    for way in ways.values():
        way()
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            start = clock()
            way()
            spent[name].append(clock() - start)
    return {name: statistics.median(seconds) for name, seconds in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=11, help="how often each way is timed (default: %(default)s)")
    runs = parser.parse_args().runs
    torch.set_num_threads(1)
    console = Console()

    table = Table("picture", "unknown", "hint", "ms", title=f"{SIZE[1]}×{SIZE[0]}")
    for kind, (image, trimap) in {"photograph": photograph(), "noise": picture(0)}.items():
        guesses = {guess.__name__: partial(guess, image, trimap) for guess in (propagated_colours, sampled_colours)}
        for name, seconds in medians(guesses, runs, time.process_time).items():
            table.add_row(kind, f"{(trimap == 0.5).float().mean():.0%}", name, f"{1000 * seconds:.0f}")
    console.print(table)

    decoders: dict[str, tuple[LatentDecoder, int]] = {
        "UNetDecoderModule": (UNetDecoderModule((16, 24, 32, 48), layers_per_block=1), 0),
        "half size": (HalfSizeUNetDecoderModule((24, 32, 64, 96), layers_per_block=1), 0),
        "half size, two hints": (HalfSizeUNetDecoderModule((24, 32, 64, 96), hints=2, layers_per_block=1), 2),
    }
    steps = {name: trained(*decoder) for name, decoder in decoders.items()}
    table = Table("decoder", "M parameters", "samples/s", "ratio", title=f"D_trans, {SIDE}², forward and backward")
    spent = medians(steps, runs, time.perf_counter)
    for name, (decoder, _) in decoders.items():
        millions = sum(parameter.numel() for parameter in decoder.parameters()) / 1e6
        faster = spent["UNetDecoderModule"] / spent[name]
        table.add_row(name, f"{millions:.2f}", f"{BATCH / spent[name]:.1f}", f"{faster:.1f}")
    console.print(table)


if __name__ == "__main__":
    main()
