"""Hints against a plain reading of their definitions."""

import math

import numpy as np
import pytest
import torch

from drip_lightning.ops.hints.choice import (
    ClosedFormAndColours,
    NoHints,
    PropagatedColours,
    SampledAndPropagatedColours,
    SampledColours,
)
from drip_lightning.ops.hints.colours import DISTANCE_WEIGHT, RAYS, projected_alpha, propagated_colours, sampled_colours


def picture(seed: int, height: int = 13, width: int = 17) -> tuple[torch.Tensor, torch.Tensor]:
    """A random 8-bit picture, and a trimap with foreground left, background right and an uneven band between."""
    random = torch.Generator().manual_seed(seed)
    image = torch.randint(256, (1, 3, height, width), generator=random) / 255
    trimap = torch.full((1, 1, height, width), 0.5)
    for row in range(height):
        trimap[0, 0, row, : 3 + row % 3] = 1
        trimap[0, 0, row, 10 + row % 4 :] = 0
    trimap[0, 0, height // 2, 8] = 1
    return image, trimap


def sampled_plainly(image: torch.Tensor, trimap: torch.Tensor, row: int, column: int) -> tuple[float, list, list]:
    """The least cost over all pairs of pixels that rays meet, walking every ray step by step."""
    height, width = trimap.shape[-2:]
    single = np.float32  # a ray along a pixel's edge rounds as the kernel's does
    met: dict[float, list[tuple[float, list[float]]]] = {0.0: [], 1.0: []}
    turn = ((row % 3) * 3 + column % 3) / 9
    for ray in range(RAYS):
        angle = (ray + turn) * 2 * math.pi / RAYS
        seen: set[float] = set()
        for distance in range(1, height + width):
            down, right = (single(one(angle)) * single(distance) for one in (math.sin, math.cos))
            i, j = single(row) + single(0.5) + down, single(column) + single(0.5) + right
            if not (0 <= i < height and 0 <= j < width):
                break
            side = trimap[0, 0, int(i), int(j)].item()
            if side != 0.5 and side not in seen:
                seen.add(side)
                met[side].append((distance, image[0, :, int(i), int(j)].tolist()))
    own, best = image[0, :, row, column].tolist(), (math.inf, [], [])
    nearest = {side: min(distance for distance, _ in found) for side, found in met.items()}
    for far, front in met[1.0]:
        for away, back in met[0.0]:
            line = [f - b for f, b in zip(front, back, strict=True)]
            length = sum(x * x for x in line)
            share = sum((o - b) * x for o, b, x in zip(own, back, line, strict=True)) / max(length, 1e-6)
            share = min(max(share, 0), 1)
            error = math.dist(own, [b + share * x for b, x in zip(back, line, strict=True)])
            cost = error + DISTANCE_WEIGHT * (far / nearest[1.0] + away / nearest[0.0])
            best = min(best, (cost, front, back), key=lambda one: one[0])
    return best


@pytest.mark.parametrize("is_smooth", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_sampled_pair_is_the_cheapest_of_all_that_rays_meet(seed: int, is_smooth: bool) -> None:
    """In noise far pixels may be worth their distance; in a smooth picture rays stop early."""
    image, trimap = picture(seed)
    if is_smooth:
        image = torch.nn.functional.interpolate(image[..., ::4, ::4], image.shape[-2:], mode="bicubic").clamp(0, 1)
    foreground, background, alpha = sampled_colours(image, trimap)
    for row, column in (trimap[0, 0] == 0.5).nonzero().tolist():
        _, front, back = sampled_plainly(image, trimap, row, column)
        assert foreground[0, :, row, column].tolist() == pytest.approx(front)
        assert background[0, :, row, column].tolist() == pytest.approx(back)
    assert torch.equal(alpha[trimap != 0.5], trimap[trimap != 0.5])


def test_a_picture_of_two_flat_colours_is_solved_exactly() -> None:
    """Composites of two flat layers: every guess finds the layers, and so the alpha."""
    image, trimap = picture(2)
    front, back = (
        torch.tensor([200, 40, 90]).view(1, 3, 1, 1) / 255,
        torch.tensor([20, 220, 150]).view(1, 3, 1, 1) / 255,
    )
    true = torch.where(trimap == 0.5, torch.linspace(0, 1, trimap.shape[-1]).expand_as(trimap), trimap)
    image = true * front + (1 - true) * back
    for guess in (propagated_colours, sampled_colours):
        foreground, background, alpha = guess(image, trimap)
        unknown = (trimap == 0.5).expand_as(image)
        torch.testing.assert_close(foreground[unknown], front.expand_as(image)[unknown], atol=1.5 / 255, rtol=0)
        torch.testing.assert_close(background[unknown], back.expand_as(image)[unknown], atol=1.5 / 255, rtol=0)
        torch.testing.assert_close(alpha, true, atol=2 / 255, rtol=0)


def test_the_projection_by_hand() -> None:
    image, foreground, background = (
        torch.tensor(c).view(1, 3, 1, 1) for c in ([0.5, 0.2, 0.0], [1.0, 0, 0], [0.0, 0, 0])
    )
    assert projected_alpha(image, foreground, background).item() == pytest.approx(0.5)
    assert projected_alpha(image + 1, foreground, background).item() == 1
    assert projected_alpha(image, background, background).item() == 0


def test_a_side_that_is_missing_or_out_of_reach_is_no_failure() -> None:
    image, _ = picture(3)
    for trimap in (torch.full((1, 1, 13, 17), 0.5), torch.zeros(1, 1, 13, 17), torch.ones(1, 1, 13, 17)):
        for hints in (SampledAndPropagatedColours(), ClosedFormAndColours()):
            found = hints(image, trimap)
            assert found.shape[1] == hints.channels
            assert found.isfinite().all()


def test_hints_are_uint8_and_a_sample_s_do_not_depend_on_its_batch() -> None:
    pairs = [picture(seed) for seed in range(3)]
    image, trimap = (torch.cat(maps) for maps in zip(*pairs, strict=True))
    for hints in (PropagatedColours(), SampledColours(), ClosedFormAndColours()):
        batch = hints.as_uint8(image, trimap)
        assert batch.dtype == torch.uint8
        assert torch.equal(hints(image, trimap), batch / 255)
        for place, one in enumerate(pairs):
            assert torch.equal(hints.as_uint8(*one)[0], batch[place])
    assert NoHints()(image, trimap).shape == (3, 0, 13, 17)
