"""From the host to a device without waiting for it."""

import torch
from torch import Tensor


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the CPU to `device`, a GPU from pinned memory: it copies when it gets there, nobody waits."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
