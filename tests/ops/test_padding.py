import pytest
import torch
from torch import Tensor

from drip_lightning.ops.padding import (
    pad_foreground_blur,
    pad_foreground_normalised_blur,
    pad_foreground_push_pull,
)

PADDINGS = [pad_foreground_push_pull, pad_foreground_blur, pad_foreground_normalised_blur]


def _disc(size: int = 61, radius: float = 12.0) -> tuple[Tensor, Tensor]:
    """Values above 150 where alpha > 0, black elsewhere, as pictures come from files."""
    axis = torch.arange(size) - size / 2
    alpha = (((radius - torch.hypot(axis[:, None], axis)) / 3 + 0.5).clamp(0, 1) * 255).to(torch.uint8)[None, None]
    random = torch.Generator().manual_seed(0)
    colour = torch.randint(151, 256, (1, 3, size, size), dtype=torch.uint8, generator=random)
    return torch.where(alpha > 0, colour, 0), alpha


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


@pytest.mark.parametrize("pad", [pad_foreground_push_pull, pad_foreground_normalised_blur])
def test_no_black_bleeds_and_a_flat_colour_stays(pad) -> None:
    foreground, alpha = _disc()
    assert pad(foreground, alpha).min() >= 150
    flat = torch.tensor([230, 77, 153], dtype=torch.uint8).view(1, 3, 1, 1)
    padded = pad(flat * (alpha > 0), alpha)
    assert (padded.int() - flat.int()).abs().max() <= 1


def test_push_pull_reaches_any_corner_of_odd_sizes_and_leaves_empty_samples_black() -> None:
    alpha = torch.zeros(2, 1, 37, 53, dtype=torch.uint8)
    alpha[0, 0, 36, 0] = 1
    foreground = torch.full((2, 3, 37, 53), 128, dtype=torch.uint8) * (alpha > 0)
    padded = pad_foreground_push_pull(foreground, alpha)
    assert (padded[0] == 128).all()
    assert (padded[1] == 0).all()
    alone = torch.zeros(1, 1, 1, 1, dtype=torch.uint8)
    assert pad_foreground_push_pull(torch.full((1, 3, 1, 1), 9, dtype=torch.uint8), alone).sum() == 0


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
    assert (pad_foreground_blur(foreground, alpha, rounds=3) - expected).abs().max() <= 0.51


def test_what_alg_2_leaves_black_the_others_fill() -> None:
    """A lit disc on black, seen from afar and near its edge, where the true colour goes on smoothly."""
    size = 160
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    distance = torch.hypot(rows - size / 2, columns - size / 2)
    truth = torch.stack([120 + rows / 4, 200 - columns / 4, 90 + (rows + columns) / 8]).to(torch.uint8)[None]
    alpha = ((distance < 20) * 255).to(torch.uint8)[None, None]
    far, near = distance > 20 + 40, (distance >= 20) & (distance < 28)
    black, error = [], []
    for pad in PADDINGS:
        padded = pad(truth * (alpha > 0), alpha)
        black.append(float((padded[0, :, far] < 8).float().mean()))
        error.append(float((padded.int() - truth.int()).abs()[0, :, near].float().mean()))
    push_pull, blur, normalised = range(3)
    assert black[blur] > 0.8
    assert black[push_pull] == 0
    assert error[push_pull] < 3
    assert error[normalised] < 3
    assert error[blur] > 4 * error[push_pull]
