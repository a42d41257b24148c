"""Masks, trimaps and mattes of every tool."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drip_lightning.data.convert.outcome import Refusal, read_grey
from drip_lightning.data.maps import map_pixels, require_trimap
from drip_lightning.data.pictures import open_picture
from drip_lightning.errors import InputError
from tests.data.test_pixels import saved

TRIMAP = np.array([[0, 0, 128, 255], [0, 128, 128, 255]], np.uint8)
MASK = np.array([[0, 0, 255, 255]], np.uint8)


def read_map(pixels: np.ndarray) -> np.ndarray:
    return map_pixels(open_picture(saved(Image.fromarray(pixels), "PNG"), name="t.png"), name="t.png")


def test_masks_and_trimaps_of_any_values_say_the_same() -> None:
    alike = (TRIMAP, TRIMAP // 127, TRIMAP.astype(np.uint16), TRIMAP.astype(np.uint16) * 257, np.dstack([TRIMAP] * 3))
    for written in (*alike, (TRIMAP // 127).astype(np.uint16)):
        assert read_map(written).tolist() == TRIMAP.tolist()
    for mask in (MASK, MASK // 255, MASK > 0, (MASK // 255).astype(np.uint16)):
        assert read_map(mask).tolist() == MASK.tolist()
    for step in (17, 85):  # what Pillow makes of 0, 1, 2 in PNGs of four and of two bits
        assert read_map(TRIMAP // 127 * step).tolist() == TRIMAP.tolist()
        assert read_map(MASK // 255 * step).tolist() == MASK.tolist()
    faint = np.arange(40, dtype=np.uint8)[None]
    assert read_map(faint).tolist() == faint.tolist()


def test_where_alpha_varies_alpha_is_meant() -> None:
    bright = np.full((*TRIMAP.shape, 3), 250, np.uint8)
    assert read_map(np.dstack([bright, TRIMAP])).tolist() == TRIMAP.tolist()
    opaque = np.dstack([TRIMAP] * 3 + [np.full_like(TRIMAP, 255)])
    assert read_map(opaque).tolist() == TRIMAP.tolist()


def test_values_that_say_nothing_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"t\.png has the values 0, 3, 7: expected"):
        read_map(np.array([[0, 3, 7]], np.uint8))
    with pytest.raises(InputError, match=r"t\.png has the values 0, 150, 300: expected"):
        read_map(np.array([[0, 150, 300]], np.uint16))
    for levels in ((0, 100, 200), (60, 128, 255)):
        with pytest.raises(InputError, match=f"t has the values {', '.join(map(str, levels))}: expected 0, 128, 255"):
            require_trimap(np.array([levels], np.uint8), name="t")
    for levels in ((0, 128), (0, 127, 129), (0, 60, 200, 255), tuple(range(0, 200, 20))):
        require_trimap(np.array([levels], np.uint8), name="t")
    coloured = np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)
    with pytest.raises(InputError, match=r"t\.png is coloured \(#ff0000, #00ff00\): give black for background"):
        read_map(coloured.repeat(10, axis=1)[:, :11][:, ::-1])
    Image.fromarray(coloured).save(tmp_path / "t.png")
    with pytest.raises(Refusal, match=r"no mask, trimap or matte.*t\.png is coloured"):
        read_grey(str(tmp_path / "t.png"))
