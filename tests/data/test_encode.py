import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from drip_lightning.data.deep import deep_values
from drip_lightning.data.encode import FORMATS, encode_picture
from drip_lightning.data.exr import read_exr
from drip_lightning.errors import InputError
from tests.data.test_pixels import display_p3

PIXELS = np.random.default_rng(0).random((5, 7, 4)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", ["png", "webp", "tiff"])
def test_eight_bits_are_what_was_given(name: str, channels: int) -> None:
    profile = display_p3()
    content = encode_picture(PIXELS[..., -channels:], FORMATS[name], bits=8, profile=profile, dpi=(300, 72))
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == name.upper()
        if name != "webp":
            assert picture.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]
            assert picture.info["dpi"] == pytest.approx((300, 72), abs=0.02)
        assert picture.info["icc_profile"] == profile
        found = np.array(picture).reshape(5, 7, -1)
    assert (found[..., -channels:] == np.rint(PIXELS[..., -channels:] * 255)).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", ["png", "tiff"])
def test_sixteen_bits_are_what_was_given(name: str, channels: int) -> None:
    profile = display_p3()
    content = encode_picture(PIXELS[..., -channels:], FORMATS[name], bits=16, profile=profile, dpi=(300, 72))
    assert (deep_values(content, name="x") == np.rint(PIXELS[..., -channels:] * 65535)).all()
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.info["icc_profile"] == profile
        assert picture.info["dpi"] == pytest.approx((300, 72), abs=0.02)
        picture.load()
    if (name, channels) == ("tiff", 4):
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            assert list(file.pages[0].extrasamples) == [tifffile.EXTRASAMPLE.UNASSALPHA]


def test_openexr_is_premultiplied_and_not_bounded() -> None:
    bright = PIXELS * np.array([4, 4, 4, 1], np.float32)
    found = read_exr(encode_picture(bright, FORMATS["exr"], bits=16), name="x")
    assert np.allclose(found.colour, bright[..., :3], rtol=2e-3)
    assert np.allclose(found.alpha, bright[..., 3], rtol=1e-3)
    assert found.colour.max() > 3
    assert read_exr(encode_picture(PIXELS[..., 3:], FORMATS["exr"], bits=16), name="x").colour is None


def test_webp_has_an_end() -> None:
    with pytest.raises(InputError, match="16384x1 pixels are too many for webp, which ends at 16383 a side"):
        encode_picture(np.zeros((1, 16384, 3)), FORMATS["webp"], bits=8)
