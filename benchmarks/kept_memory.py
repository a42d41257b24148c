"""What the U-Net's forward pass keeps for the backward pass, counted on tensors without content: no hardware needed.

    python -m benchmarks.kept_memory [--scale sd2] [--size 512]

A batch keeps a constant part, the bf16 copies that autocast makes of the weights, and a part of each sample; two
batches tell them apart. What the backward pass allocates besides, and what the VAE gives back, is not in it.
"""

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from benchmarks.flops import meta_denoiser
from benchmarks.scales import Scale, parse_scale


def kept_bytes(scale: Scale, size: int, batch: int, *, checkpointing: bool, bf16: bool) -> int:
    """Bytes of all tensors that the forward pass of a batch keeps, the weights themselves left out."""
    stage = meta_denoiser(scale, gradient_checkpointing=checkpointing)
    unet, channels, side = stage.joint_unet.train(), stage.codec.channels, size // stage.codec.downsampling
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with FakeTensorMode():  # unlike meta tensors, these know autocast
        for module in unet.modules():
            for own in (module._parameters, module._buffers):
                own.update({name: like(tensor) for name, tensor in own.items() if tensor is not None})
        noisy, condition = torch.empty(2 * batch, channels, side, side), torch.empty(batch, 2 * channels, side, side)
        with saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            unet(noisy, condition, torch.empty(batch))
        weights = {weight.untyped_storage()._cdata for weight in unet.parameters()}
    return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in weights)


def like(tensor: Tensor) -> Tensor:
    """A tensor without content, of the same shape, trained if the other is."""
    empty = torch.empty(tensor.shape, dtype=tensor.dtype)
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


def main() -> None:
    name, scale, size = parse_scale(__doc__)
    table = Table("precision", "checkpointing", title=f"{name}, {size}², GiB kept for the backward pass")
    table.add_column("whatever the batch", justify="right")
    table.add_column("a sample", justify="right")
    for bf16 in (True, False):
        for checkpointing in (False, True):
            one, two = (kept_bytes(scale, size, batch, checkpointing=checkpointing, bf16=bf16) for batch in (1, 2))
            figures = [f"{part / 2**30:.2f}" for part in (2 * one - two, two - one)]
            table.add_row("bf16" if bf16 else "float32", "yes" if checkpointing else "no", *figures)
    Console().print(table)


if __name__ == "__main__":
    main()
