import pytest
from PIL import Image

from drip_lightning.data.picture_files import FORMATS
from drip_lightning.data.pictures import TooBigError, open_picture, size_of
from drip_lightning.errors import InputError
from tests.data.test_pixels import saved


@pytest.mark.filterwarnings("error")
def test_a_picture_too_big_is_refused_without_a_warning() -> None:
    content = saved(Image.new("1", (9500, 9500)), "PNG")
    for read in (open_picture, size_of):
        with pytest.raises(TooBigError, match=r"^x has 9500x9500 pixels, more than 67108864 are not decoded: make it"):
            read(content, name="x")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_the_size_is_known_before_a_pixel_is_read(form: str) -> None:
    whole = saved(Image.effect_noise((400, 300), 80), form)
    is_cut = form not in ("TIFF", "WEBP")  # they are opened whole
    cut = whole[: len(whole) // 10] if is_cut else whole
    assert size_of(cut, name="x", formats=FORMATS) == (400, 300)
    if is_cut:
        with pytest.raises(InputError, match=r"^x cannot be decoded: "):
            open_picture(cut, name="x", formats=FORMATS)
