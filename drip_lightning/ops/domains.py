"""How foreground and alpha are stacked: the only place that knows (DRIP Sec. 3.2).

The joint denoiser treats its two domains as two halves of one batch, foreground first.
"""

import torch
from torch import Tensor


def stack_domains(foreground: Tensor, alpha: Tensor) -> Tensor:
    """Stack two equal batches on the batch axis: (B, …) and (B, …) become (2B, …), foreground first."""
    if foreground.shape != alpha.shape:
        raise ValueError(f"domains differ in shape: foreground {tuple(foreground.shape)}, alpha {tuple(alpha.shape)}")
    return torch.cat([foreground, alpha])


def split_domains(stacked: Tensor) -> tuple[Tensor, Tensor]:
    """Undo `stack_domains`: (2B, …) becomes (foreground, alpha), each (B, …)."""
    if stacked.shape[0] % 2:
        raise ValueError(f"stacked domains: expected an even batch, got {tuple(stacked.shape)}")
    foreground, alpha = stacked.chunk(2)
    return foreground, alpha


def pair_domains(stacked: Tensor) -> Tensor:
    """Put a sample's two domains side by side: (2B, …) becomes (B, 2, …), to pick out samples."""
    return torch.stack(split_domains(stacked), dim=1)


def unpair_domains(paired: Tensor) -> Tensor:
    """Undo `pair_domains`: (B, 2, …) becomes (2B, …)."""
    foreground, alpha = paired.unbind(dim=1)
    return stack_domains(foreground, alpha)


def join_tokens(stacked: Tensor) -> Tensor:
    """Concatenate a pair's tokens: (2B, N, C) becomes (B, 2N, C), `'(d b) n c -> b (d n) c'`."""
    return torch.cat(split_domains(stacked), dim=1)


def split_tokens(joined: Tensor) -> Tensor:
    """Undo `join_tokens`: (B, 2N, C) becomes (2B, N, C)."""
    if joined.shape[1] % 2:
        raise ValueError(f"joined tokens: expected an even number, got {tuple(joined.shape)}")
    return torch.cat(joined.chunk(2, dim=1))
