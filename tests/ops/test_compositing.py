import torch

from drip_lightning.ops.compositing import over


def test_opaque_is_foreground_and_clear_is_background() -> None:
    foreground, background = torch.rand(2, 1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    alpha = torch.ones(1, 1, 4, 5)
    assert torch.equal(over(foreground, alpha, background), foreground)
    assert torch.equal(over(foreground, 1 - alpha, background), background)


def test_by_hand() -> None:
    foreground, background = torch.full((1, 3, 1, 1), 0.8), torch.full((1, 3, 1, 1), 0.4)
    torch.testing.assert_close(
        over(foreground, torch.full((1, 1, 1, 1), 0.25), background), torch.full((1, 3, 1, 1), 0.5)
    )
