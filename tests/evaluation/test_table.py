from typing import Any

import pytest

from drip_lightning.evaluation.published import PUBLISHED, published_rows
from drip_lightning.evaluation.table import report

STRATUM = {"pixels_share": 0.25, "alpha_mad": 0.01, "alpha_mse": 0.001, "alpha_sad_share": 0.5}


def summary(set_name: str, region: str) -> dict[str, Any]:
    scores = {"alpha_sad": 12345.6, "alpha_mse": 0.0123, "foreground_sad": 2000.0}
    row = {f"{name}_{region}": {"mean": value, "sd": None} for name, value in scores.items()}
    row |= {f"alpha_mad_{region}": {"mean": 0.05, "sd": 0.001}, "seconds": {"mean": 1.5, "sd": None}}
    return {
        "protocol": {
            "set": set_name, "data": "shards", "region": region, "resolution": "original", "sizes": "1 megapixels",
            "trimap": "of the set", "unknown_share": 0.2, "steps": [], "seeds": [0, 1], "ensemble": 3, "limit": None,
            "foregrounds": 2, "count": 2, "excluded": [],
            "methods": [{"name": "ours", "rows": ["ours"], "steps": 10, "kind": "Denoiser", "weights": "abc"}],
        },
        "rows": {"ours": row},
        "strata": {"ours": dict.fromkeys(("certain", "strand", "edge", "translucent"), STRATUM)},
    }  # fmt: skip


def test_units_are_applied_and_the_protocol_is_told() -> None:
    table = report(summary("synth", "unknown"))
    cells = [cell.strip() for cell in next(line for line in table.splitlines() if line.startswith("| ours")).split("|")]
    assert cells[1:-1] == ["ours", "12.346", "12.300", "50.000 ± 1.000", "2.000", "1.5"]
    for said in ("2 images, unknown region", "seeds: 0, 1, median of 3 samples", "weights abc", "10.00 (50%)", "25.0%"):
        assert said in table
    assert "ublished" not in table


def test_published_rows_of_the_region_stand_beside_and_others_only_with_a_warning() -> None:
    same = report(summary("composition1k-test", "unknown"))
    assert "| ViTMatte-S " in same
    assert "not comparable" not in same
    head, warning, tail = report(summary("aim500", "unknown")).partition("not comparable")
    assert warning
    assert "MEMatte" in head
    assert "AIM paper" not in head
    assert "whole image, given nothing" in tail
    assert "| DRIP" in tail


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_row_has_figures_and_a_source(name: str) -> None:
    rows = published_rows(name.upper())
    assert rows
    assert all(row.scores and row.source for row in rows)
