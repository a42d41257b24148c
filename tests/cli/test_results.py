from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from drip_lightning.cli import results
from drip_lightning.cli.results import write_panel, write_result
from drip_lightning.pipeline import Matte


def matte(height: int = 6, width: int = 8) -> Matte:
    noise = torch.rand(1, 4, height, width, generator=torch.Generator().manual_seed(0))
    alpha = noise[:, 3:].masked_fill(torch.arange(width) < width // 2, 0.001)  # rounds to 0
    return Matte(foreground=noise[:, :3], alpha=alpha)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def test_colour_is_straight_and_zero_where_alpha_is(tmp_path: Path) -> None:
    write_result(tmp_path / "a.png", matte())
    found = pixels(tmp_path / "a.png")
    colour, alpha = (
        (part[0] * 255).round().byte().permute(1, 2, 0).numpy() for part in (matte().foreground, matte().alpha)
    )
    assert (found[..., 3:] == alpha).all()
    assert (found[:, :4] == 0).all()
    assert (found[:, 4:, :3] == colour[:, 4:]).all()


def test_a_panel_too_wide_for_jpeg_is_made_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "JPEG_SIDE", 20)
    write_panel(tmp_path / "a.jpg", torch.rand(1, 3, 6, 8), torch.rand(1, 1, 6, 8), matte())
    assert pixels(tmp_path / "a.jpg").shape == (3, 20, 3)  # of 6 by 40


def test_no_jpeg_is_longer() -> None:
    with pytest.raises(OSError, match="when writing image file"):
        Image.new("L", (results.JPEG_SIDE + 1, 1)).save(Path("/dev/null"), "JPEG")
