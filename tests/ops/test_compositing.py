import torch

from drip_lightning.ops.compositing import composite_levels, over


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


def _levels(*shape: int, seed: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_levels_are_eq_1_rounded() -> None:
    front, back, alpha = _levels(2, 3, 9, 11, seed=0), _levels(2, 3, 9, 11, seed=1), _levels(2, 1, 9, 11, seed=2)
    exact = over(front.double(), alpha.double() / 255, back.double())
    assert (composite_levels(front, alpha, back, [False, False]) - exact).abs().max() <= 0.5 + 1e-9


def test_linear_light_by_hand() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16).contiguous()
    for level, whole in ((255, every), (0, every.flip(3))):
        alpha = torch.full((1, 1, 16, 16), level, dtype=torch.uint8)
        assert torch.equal(composite_levels(every, alpha, every.flip(3).contiguous(), [True]), whole)
    white, black = (torch.full((1, 3, 1, 1), level, dtype=torch.uint8) for level in (255, 0))
    half = torch.full((1, 1, 1, 1), 128, dtype=torch.uint8)
    assert composite_levels(white, half, black, [True]).flatten().tolist() == [188] * 3  # sRGB of half the light
    assert composite_levels(white, half, black, [False]).flatten().tolist() == [128] * 3
