"""Whether weights from elsewhere fit the networks that are configured, or one line says what does not."""

from collections.abc import Mapping

import torch
from torch import Tensor

from drip_lightning.errors import InputError

_HALF_PRECISION = 2**-8
"""What an export in half precision may change, relatively."""


def check_sizes(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, where: str) -> None:
    """Compare names and shapes.

    Args:
        found: Weights by name.
        expected: Those of the configured networks.
        where: Where the former come from.

    Raises:
        InputError: some are missing, too many, or of another shape.
    """
    wrong = [name for name in expected if name not in found or found[name].shape != expected[name].shape]
    wrong += [name for name in found if name not in expected]
    if wrong:
        name = wrong[0]
        shapes = [str(tuple(weights[name].shape)) if name in weights else "nothing" for weights in (found, expected)]
        raise InputError(
            f"{where} does not fit the configured networks: {len(wrong)} of {len({*expected, *found})} weights differ, "
            f"such as {name}: {shapes[0]} there, {shapes[1]} configured"
        )


def check_same_autoencoder(found: Mapping[str, Tensor], frozen: Mapping[str, Tensor], *, where: str) -> None:
    """Check that weights are of the latents of the autoencoder that is configured.

    Args:
        found: All weights of where training starts from, by name.
        frozen: The configured stage's frozen ones; the autoencoder's among them are the `codec`'s.
        where: Where the former come from.

    Raises:
        InputError: the autoencoders differ.
    """
    for name, weight in frozen.items():
        if not name.startswith("codec."):
            continue
        other = found.get(name)
        if (
            other is None
            or other.shape != weight.shape
            or not torch.allclose(other, weight, rtol=_HALF_PRECISION, atol=1e-6)
        ):
            raise InputError(
                f"{where} was trained on the latents of another autoencoder (such as {name}): give networks whose "
                "autoencoder is the same"
            )


def laid_out_as(found: dict[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in the memory layout (channels-last) of those whose place they take; copied only where that differs.

    Args:
        found: Weights by name, on the CPU; emptied, so that what is copied need not be there twice.
        expected: Those of the configured networks, of the same shapes.
    """
    taken: dict[str, Tensor] = {}
    for name in list(found):
        weight, own = found.pop(name), expected.get(name)
        if own is not None and weight.stride() != own.stride():
            weight = torch.empty_like(own, device=weight.device, dtype=weight.dtype).copy_(weight)
        taken[name] = weight
    return taken
