import torch
from torch import Tensor, nn

from drip_lightning.nn.activation_memory import peak_bytes


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
