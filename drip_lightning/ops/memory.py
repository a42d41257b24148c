"""What it looks like when a device's memory, or the machine's, is not enough."""

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether something was too big for the memory; of PyTorch's allocator on the CPU, only an error's words say it."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
