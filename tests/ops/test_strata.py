import torch

from drip_lightning.ops.strata import STRATA, alpha_strata


def shares(alpha: torch.Tensor, region: tuple[slice, slice]) -> dict[str, int]:
    """How many of a region's pixels are of each kind; kinds without any are left out."""
    counts = {name: int(mask[0, 0][region].sum()) for name, mask in alpha_strata(alpha).items()}
    return {name: count for name, count in counts.items() if count}


def plane(height: int = 48, width: int = 48) -> torch.Tensor:
    return torch.zeros(1, 1, height, width)


def test_every_pixel_is_of_exactly_one_kind() -> None:
    alpha = torch.rand(2, 1, 40, 30, generator=torch.Generator().manual_seed(0)).mul(1.4).sub(0.2).clamp(0, 1)
    strata = alpha_strata(alpha)
    assert tuple(strata) == STRATA
    assert torch.equal(torch.stack(list(strata.values())).sum(dim=0), torch.ones_like(alpha, dtype=torch.int64))


def test_an_antialiased_outline_is_an_edge() -> None:
    alpha = plane()
    alpha[..., 24:] = 1
    alpha[..., 23] = 0.5
    assert shares(alpha, (slice(None), slice(23, 24))) == {"edge": 48}


def test_a_ramp_is_an_edge_only_where_opaque_and_clear_are_near() -> None:
    """From column 10 (last 0) to column 30 (first 1): nothing has both within 8 pixels."""
    for last_clear, first_opaque, kind in ((10, 30, "translucent"), (10, 18, "edge")):
        columns = torch.arange(48.0)
        alpha = ((columns - last_clear) / (first_opaque - last_clear)).clamp(0, 1).expand(1, 1, 48, 48)
        between = (slice(None), slice(last_clear + 1, first_opaque))
        assert shares(alpha, between) == {kind: 48 * (first_opaque - last_clear - 1)}


def test_what_is_narrower_than_seven_pixels_and_stands_out_is_a_strand() -> None:
    for width, kind in ((1, "strand"), (6, "strand"), (7, "translucent")):
        alpha = plane()
        alpha[..., 20 : 20 + width] = 0.6
        assert shares(alpha, (slice(None), slice(20, 20 + width))) == {kind: 48 * width}


def test_a_faint_line_on_smoke_is_smoke() -> None:
    for above, kind in ((0.05, "translucent"), (0.2, "strand")):
        alpha = plane() + 0.4
        alpha[..., 20] += above
        assert shares(alpha, (slice(None), slice(20, 21))) == {kind: 48}
