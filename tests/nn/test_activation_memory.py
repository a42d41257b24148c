import warnings

import torch
from torch import Tensor, nn

from drip_lightning.nn.activation_memory import peak_bytes
from drip_lightning.nn.attention import CrossDomainAttention
from drip_lightning.nn.switcher import PosEncSwitcher
from tests.networks import tiny_unet


def test_what_is_held_at_once_is_counted_and_what_was_let_go_is_not() -> None:
    def both_held(network: nn.Module) -> Tensor:
        start = torch.empty(4, 4)
        return start + 1 + (start * 2)  # start, two products of it, and their sum: 4 × 64 bytes

    def one_after_another(network: nn.Module) -> Tensor:
        numbers = torch.empty(4, 4)
        for _ in range(10):
            numbers = numbers + 1
        return numbers.view(-1)  # a view takes nothing

    assert peak_bytes(nn.Identity(), both_held) == 256
    assert peak_bytes(nn.Identity(), one_after_another) == 128


def test_networks_are_left_as_they_are_and_weights_are_not_counted() -> None:
    network = nn.Conv2d(3, 5, 3, padding=1, bias=False)
    weights = network.weight.detach().clone()
    # input 3, output 5 channels of 100² float32
    assert peak_bytes(network, lambda own: own(torch.empty(1, 3, 100, 100))) == 8 * 100 * 100 * 4
    assert torch.equal(network.weight, weights)
    assert network(torch.zeros(1, 3, 4, 4)).abs().sum() == 0


def test_a_joint_denoiser_is_counted_without_a_word() -> None:
    """torch warns where a content is asked for that is not there: what is kept of the prompt goes by it."""
    denoiser = PosEncSwitcher().build(tiny_unet(), torch.zeros(1, 2, 8), attention=CrossDomainAttention())
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            held = peak_bytes(
                denoiser.requires_grad_(False),
                lambda own: own(torch.zeros(2, 4, 8, 8), torch.zeros(1, 8, 8, 8), torch.zeros(1, dtype=torch.long)),
            )
    finally:
        torch.set_warn_always(before)
    assert held > 0
