"""Floating-point operations of a training step, counted on tensors without content: no hardware needed.

    python -m benchmarks.flops [--scale sd2] [--size 512]

Multiplications and additions of convolutions and matrix products, attention included, count; the rest is small.
"""

from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.scales import Scale, parse_scale
from drip_lightning.lit.denoiser import Denoiser

MAPS = 4
"""Image, trimap, foreground, alpha."""


def meta_denoiser(scale: Scale, **options: Any) -> Denoiser:
    with torch.device("meta"):
        stage = Denoiser(networks=scale.networks, **options)
        stage.configure_model()
    return stage.to("meta")


def step_flops(scale: Scale, size: int, **options: Any) -> dict[str, float]:
    """FLOPs of one sample's training step without recomputation, by parts; of the forward pass of the U-Net, too."""
    stage = meta_denoiser(scale, **options)
    picture = torch.empty(MAPS, 3, size, size, device="meta")
    with FlopCounterMode(display=False) as encoding, torch.no_grad():
        latent = stage.codec.vae.encode(picture).latent_dist.mode()
    _, channels, height, width = latent.shape
    inputs = _inputs(channels, height, width)
    with FlopCounterMode(display=False) as forward:
        prediction = stage.joint_unet(*inputs)
    with FlopCounterMode(display=False) as backward:
        prediction.sum().backward()
    with FlopCounterMode(display=False) as decoding, torch.no_grad():
        stage.codec.vae.decode(latent[:2])
    counted = {"encode": encoding, "forward": forward, "backward": backward, "decode": decoding}
    return {name: float(counter.get_total_flops()) for name, counter in counted.items()}


def _inputs(channels: int, height: int, width: int) -> tuple[torch.Tensor, ...]:
    noisy = torch.empty(2, channels, height, width, device="meta")
    return noisy, torch.empty(1, 2 * channels, height, width, device="meta"), torch.empty(1, device="meta")


def main() -> None:
    name, scale, size = parse_scale(__doc__)
    flops = step_flops(scale, size)
    table = Table("part", title=f"{name}, {size}², one sample")
    table.add_column("TFLOP", justify="right")
    for part in ("encode", "forward", "backward"):
        table.add_row(part, f"{flops[part] / 1e12:.3f}")
    table.add_row("training step", f"{(flops['encode'] + flops['forward'] + flops['backward']) / 1e12:.3f}")
    table.add_section()
    table.add_row("decode both maps", f"{flops['decode'] / 1e12:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
