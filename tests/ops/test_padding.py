import pytest
import torch
from torch import Tensor

from drip_lightning.ops.padding import pad_foreground_blur, pad_foreground_push_pull

PADDINGS = [pad_foreground_push_pull, pad_foreground_blur]


def _disc(size: int = 61, radius: float = 12.0) -> tuple[Tensor, Tensor]:
    """Colours above 0.6 where alpha > 0, black elsewhere, as pictures come from files."""
    axis = torch.arange(size) - size / 2
    alpha = ((radius - torch.hypot(axis[:, None], axis)) / 3 + 0.5).clamp(0, 1)[None, None]
    colour = 0.6 + 0.4 * torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    return colour * (alpha > 0), alpha


@pytest.mark.parametrize("pad", PADDINGS)
def test_only_where_alpha_is_zero(pad) -> None:
    foreground, alpha = _disc()
    foreground_before, alpha_before = foreground.clone(), alpha.clone()
    padded = pad(foreground, alpha)
    known = (alpha > 0).expand_as(foreground)
    assert torch.equal(padded[known], foreground[known])
    assert not torch.equal(padded, foreground)
    assert torch.equal(foreground, foreground_before)
    assert torch.equal(alpha, alpha_before)
    assert 0 <= padded.min() <= padded.max() <= 1


def test_push_pull_bleeds_no_black_and_keeps_a_flat_colour() -> None:
    foreground, alpha = _disc()
    assert pad_foreground_push_pull(foreground, alpha).min() >= 0.6 - 1e-5
    flat = torch.tensor([0.9, 0.3, 0.6]).view(1, 3, 1, 1)
    padded = pad_foreground_push_pull(flat * (alpha > 0), alpha)
    torch.testing.assert_close(padded, flat.expand_as(padded), atol=1e-5, rtol=0)


def test_push_pull_reaches_any_corner_of_odd_sizes_and_leaves_empty_samples_black() -> None:
    alpha = torch.zeros(2, 1, 37, 53)
    alpha[0, 0, 36, 0] = 1 / 255
    foreground = torch.full((2, 3, 37, 53), 0.5) * (alpha > 0)
    padded = pad_foreground_push_pull(foreground, alpha)
    torch.testing.assert_close(padded[0], torch.full((3, 37, 53), 0.5))
    assert (padded[1] == 0).all()


def test_blur_is_alg_2_step_by_step() -> None:
    foreground, alpha = _disc(21, 5)
    axis = torch.arange(-6, 7, dtype=torch.float64)
    gauss = torch.exp(-(axis**2) / (2 * 2.3**2))
    kernel = (gauss[:, None] * gauss / gauss.sum() ** 2).expand(3, 1, 13, 13)
    expected = foreground.double()
    for _ in range(3):
        edge = torch.nn.functional.pad(expected, (6, 6, 6, 6), mode="replicate")
        blurred = torch.nn.functional.conv2d(edge, kernel, groups=3)
        expected = torch.where(alpha > 0, expected, blurred)
    torch.testing.assert_close(pad_foreground_blur(foreground, alpha, rounds=3).double(), expected, atol=1e-5, rtol=0)
