import torch

from drip_lightning.ops.compositing import agreeing, composite_uint8, over


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


def _uint8(*shape: int, seed: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_values_are_eq_1_rounded() -> None:
    front, back, alpha = _uint8(2, 3, 9, 11, seed=0), _uint8(2, 3, 9, 11, seed=1), _uint8(2, 1, 9, 11, seed=2)
    exact = over(front.double(), alpha.double() / 255, back.double())
    assert (composite_uint8(front, alpha, back, [False, False]) - exact).abs().max() <= 0.5 + 1e-9


def test_linear_light_by_hand() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16).contiguous()
    for value, whole in ((255, every), (0, every.flip(3))):
        alpha = torch.full((1, 1, 16, 16), value, dtype=torch.uint8)
        assert torch.equal(composite_uint8(every, alpha, every.flip(3).contiguous(), [True]), whole)
    white, black = (torch.full((1, 3, 1, 1), value, dtype=torch.uint8) for value in (255, 0))
    half = torch.full((1, 1, 1, 1), 128, dtype=torch.uint8)
    assert composite_uint8(white, half, black, [True]).flatten().tolist() == [188] * 3  # sRGB of half the light
    assert composite_uint8(white, half, black, [False]).flatten().tolist() == [128] * 3


def test_agreeing_colours_make_the_image_and_change_least() -> None:
    generator = torch.Generator().manual_seed(1)
    image, foreground, background = torch.rand(3, 2, 3, 4, 5, generator=generator)
    alpha = torch.rand(2, 1, 4, 5, generator=generator)
    alpha[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    front, back = agreeing(image, foreground, background, alpha)
    torch.testing.assert_close(over(front, alpha, back), image)
    assert torch.equal(front[0, :, 0, 0], foreground[0, :, 0, 0])
    torch.testing.assert_close(front[0, :, 0, 1], image[0, :, 0, 1])
    # any other pair that makes the image lies along (1 - alpha, -alpha) from this one, and the least is square to it
    torch.testing.assert_close((1 - alpha) * (front - foreground), alpha * (back - background))
