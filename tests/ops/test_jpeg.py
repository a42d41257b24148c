import io

import numpy as np
import pytest
import torch
from PIL import Image

from drip_lightning.ops.jpeg import jpeg_artefacts


def _picture(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    grain = np.random.default_rng(0).normal(0, 4, (height, width, 3))
    smooth = np.dstack([128 + 90 * np.sin(rows / 9), 128 + 90 * np.cos(columns / 13), 60 + (rows + columns) / 2])
    return (smooth + grain).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("quality", [20, 50, 75, 95])
def test_artefacts_are_those_of_the_real_codec(quality: int) -> None:
    pixels = _picture(96, 128)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling=2)
    real = np.asarray(Image.open(stream)).astype(int)
    ours = jpeg_artefacts(torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), quality)
    difference = np.abs(ours.permute(1, 2, 0).numpy().astype(int) - real).mean()
    assert difference < 1
    assert difference < 0.4 * np.abs(real - pixels.astype(int)).mean()


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (16, 33)])
def test_any_size_and_a_flat_picture_stays(size: tuple[int, int]) -> None:
    flat = torch.full((3, *size), 100, dtype=torch.uint8)
    assert (jpeg_artefacts(flat, 90).int() - 100).abs().max() <= 1
