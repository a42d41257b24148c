"""Which weights these are, in a few characters."""

import hashlib

import torch
from torch import nn


def weights_digest(module: nn.Module) -> str:
    """A digest of all weights, frozen ones included, that does not depend on where they were loaded from."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
