import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from drip_lightning.data.deep import deep_values
from drip_lightning.data.frames import Frames, encode_frames, frames_of, require_single
from drip_lightning.data.picture_files import FORMATS
from drip_lightning.data.pictures import open_picture
from drip_lightning.errors import InputError

RGBA = [np.full((4, 6, 4), (40 * number, 50, 200, 255 - 50 * number), np.uint8) for number in range(3)]
PICTURES = [Image.fromarray(pixels) for pixels in RGBA]


def saved(form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    PICTURES[0].save(stream, form, save_all=True, append_images=PICTURES[1:], **options)
    return stream.getvalue()


def read(content: bytes, number: int) -> np.ndarray:
    return np.asarray(open_picture(content, name="x", formats=FORMATS, frame=number).convert("RGBA"))


@pytest.mark.parametrize(
    ("form", "suffix"), [("PNG", ".png"), ("WEBP", ".webp"), ("GIF", ".png"), ("TIFF", ".tif"), ("AVIF", ".png")]
)
def test_frames_are_counted_with_their_times(form: str, suffix: str) -> None:
    times = {} if form == "TIFF" else {"duration": [100, 250, 400], "loop": 2}
    content = saved(form, **times)
    frames = frames_of(content, name="x")
    assert (frames.numbers, frames.suffix) == ((0, 1, 2), suffix)
    if times:
        assert frames.milliseconds == (100, 250, 400)
    if times and form != "AVIF":  # which has no word for it
        assert frames.loop == 2
    reds = [int(read(content, number)[0, 0, 0]) for number in frames.numbers]
    assert np.abs(np.array(reds) - (0, 40, 80)).max() <= 5  # AVIF loses some


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_as_many_pictures_are_written_without_loss(suffix: str) -> None:
    frames = Frames((0, 1, 2), (100, 250, 400), 3, suffix)
    content = encode_frames(RGBA, frames, suffix=suffix, dpi=(300, 72))
    found = frames_of(content, name="x")
    assert found == (frames if suffix != ".tif" else Frames((0, 1, 2), suffix=suffix))
    for number, expected in enumerate(RGBA):
        assert (read(content, number) == expected).all()
    with Image.open(io.BytesIO(content)) as picture:
        density = picture.info.get("dpi")
    assert density == (None if suffix == ".webp" else pytest.approx((300, 72), abs=0.02))


def test_pages_of_sixteen_bits_are_written_in_tiff() -> None:
    pages = [pixels.astype(np.uint16) * 256 + 7 for pixels in RGBA]
    content = encode_frames(pages, Frames((0, 1, 2), suffix=".tif"), suffix=".tif", dpi=(300, 72))
    assert frames_of(content, name="x").numbers == (0, 1, 2)
    for number, expected in enumerate(pages):
        assert (deep_values(content, name="x", page=number) == expected).all()


def test_what_is_no_frame_is_left_out() -> None:
    content = saved("PNG", default_image=True, duration=100)  # the first stands for the others
    assert frames_of(content, name="x").numbers == (1, 2)
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(RGBA[0][..., :3], photometric="rgb")
        writer.write(RGBA[1][::2, ::2, :3], photometric="rgb", subfiletype=1)  # a smaller copy
        writer.write(RGBA[2][..., :3], photometric="rgb")
    content = stream.getvalue()
    assert frames_of(content, name="x").numbers == (0, 2)
    assert read(content, 2)[0, 0].tolist() == [80, 50, 200, 255]
    stream = io.BytesIO()
    tifffile.imwrite(stream, RGBA[0][..., :3], photometric="rgb", subfiletype=1)  # the only page is none of another
    assert frames_of(stream.getvalue(), name="x").numbers == (0,)
    for form in ("PNG", "JPEG", "WEBP", "TIFF", "BMP"):
        stream = io.BytesIO()
        PICTURES[0].convert("RGB").save(stream, form)
        assert frames_of(stream.getvalue(), name="x").numbers == (0,)


def test_pages_of_sixteen_bits_are_each_their_own() -> None:
    stream = io.BytesIO()
    pages = np.array([[[[1000, 2000, 3000]]], [[[257 * 9, 257 * 8, 257 * 7]]]], np.uint16)
    tifffile.imwrite(stream, pages, photometric="rgb")
    assert frames_of(stream.getvalue(), name="x").numbers == (0, 1)
    assert read(stream.getvalue(), 1)[0, 0].tolist() == [9, 8, 7, 255]


def test_one_picture_alone_is_required() -> None:
    stream = io.BytesIO()
    PICTURES[0].save(stream, "PNG")
    require_single(stream.getvalue(), name="x")
    with pytest.raises(InputError, match="x has 3 frames or pages: give a file of each"):
        require_single(saved("TIFF"), name="x")


def test_heic_of_several_pictures_has_as_many_pages() -> None:
    heif = pytest.importorskip("pillow_heif")
    several = heif.HeifFile()
    for picture in PICTURES:
        several.add_from_pillow(picture.convert("RGB").resize((64, 64)))
    stream = io.BytesIO()
    several.save(stream, quality=90)
    assert frames_of(stream.getvalue(), name="x") == Frames((0, 1, 2), suffix=".tif")
    reds = [int(read(stream.getvalue(), number)[0, 0, 0]) for number in range(3)]
    assert np.abs(np.array(reds) - (0, 40, 80)).max() <= 5
