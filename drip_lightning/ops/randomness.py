"""Random numbers as a function of (seed, sample number), never of worker, rank or process count."""

import numpy as np
import torch


def sample_seed(seed: int, number: int, purpose: str) -> int:
    """Mix a run's seed, a sample's number and what the numbers are for into one 63-bit seed."""
    entropy = [seed, number, *purpose.encode()]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))


def sample_generator(seed: int, number: int, purpose: str) -> torch.Generator:
    """A CPU generator that always starts at the same place for the same sample and purpose.

    Args:
        seed: The run's seed, not negative.
        number: The sample's global number, counted over the whole run, not negative.
        purpose: What the numbers decide ("noise", "crop", …), so that two uses never share a stream.
    """
    return torch.Generator().manual_seed(sample_seed(seed, number, purpose))
