"""Layers that start at zero, so that what is added to a trained network changes nothing at first."""

from torch import nn


def set_to_zero(layer: nn.Module) -> None:
    """Set every parameter of a layer to zero, in place."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
