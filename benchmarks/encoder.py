"""What of the frozen encoder's work could be left out, and what that changes.

    OMP_NUM_THREADS=1 python -m benchmarks.encoder [--scale small] [--size 256] [--rounds 3]

CPU seconds a map, and the largest change of a latent in units of the latents' own deviation. A trimap is flat but for
its unknown band: its window alone is encoded, with a margin, and the rest taken from a flat map. Of grey maps, the
first convolution's three equal input channels can be added up; of the answer, the variance is not needed.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.scales import load_scale
from drip_lightning.nn.latents import LatentCodec

MARGIN = 32
"""Pixels around the unknown band."""


def trimap_of(size: int) -> Tensor:
    """A disc's: (1, 1, size, size)."""
    axis = torch.linspace(-1, 1, size)
    radius = (axis[:, None].square() + axis[None, :].square()).sqrt()
    return ((radius < 0.25).float() + (radius < 0.35).float())[None, None] / 2


def window_only(codec: LatentCodec, trimap: Tensor) -> Tensor:
    """The unknown band's window encoded, the rest as the flat map around it has it."""
    size, step = trimap.shape[-1], codec.downsampling
    unknown = (trimap == 0.5).nonzero()[:, 2:]
    first, last = (int(edge) for edge in (unknown.min() - MARGIN, unknown.max() + MARGIN))
    first, last = max(0, first // step * step), min(size, -(-last // step) * step)
    (inside,) = codec.encode(trimap[..., first:last, first:last])
    (flat,) = codec.encode(torch.zeros(1, 1, 2 * MARGIN, 2 * MARGIN))
    latent = flat[..., flat.shape[-2] // 2, flat.shape[-1] // 2][..., None, None].repeat(
        1, 1, size // step, size // step
    )
    latent[..., first // step : last // step, first // step : last // step] = inside
    return latent


def grey(codec: LatentCodec) -> Callable[[Tensor], Tensor]:
    """An encoder whose first convolution takes one channel, and whose last gives the mean alone."""
    own = copy.deepcopy(codec.vae)
    own.encoder.conv_in.weight = torch.nn.Parameter(own.encoder.conv_in.weight.sum(dim=1, keepdim=True))
    channels = codec.channels
    mix = own.quant_conv.weight[:channels, :, 0, 0]
    last = own.encoder.conv_out
    last.weight = torch.nn.Parameter(torch.einsum("oc,cihw->oihw", mix, last.weight))
    last.bias = torch.nn.Parameter(mix @ last.bias + own.quant_conv.bias[:channels])

    def encode(trimap: Tensor) -> Tensor:
        with torch.inference_mode():
            return own.encoder(2 * trimap - 1) * own.config["scaling_factor"]

    return encode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=("tiny", "small", "sd2"), default="small")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    codec = LatentCodec(load_scale(arguments.scale).networks.trained_vae())
    trimap = trimap_of(arguments.size)
    folded = grey(codec)
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "whole": lambda picture: codec.encode(picture)[0],
        "the unknown's window": lambda picture: window_only(codec, picture),
        "one channel in, means out": folded,
    }
    expected = ways["whole"](trimap)
    table = Table("way", title=f"{arguments.scale}, {arguments.size}², a trimap")
    for heading in ("CPU seconds", "largest change"):
        table.add_column(heading, justify="right")
    for name, encode in ways.items():
        taken = []
        for _ in range(arguments.rounds):
            start = time.process_time()
            found = encode(trimap)
            taken.append(time.process_time() - start)
        change = (found - expected).abs().max() / expected.std()
        table.add_row(name, f"{statistics.median(taken):.3f}", f"{change:.2g}")
    Console().print(table)


if __name__ == "__main__":
    main()
