import io

import numpy as np
import pytest
import torch
from PIL import Image

from drip_lightning.data import pictures
from drip_lightning.data.decode import (
    decode_background,
    decode_colour,
    decode_evaluation,
    decode_foreground,
    decode_grey,
    decode_rgba,
)
from drip_lightning.errors import InputError
from tests.shards import picture_bytes

RANDOM = np.random.default_rng(0)
RGBA = RANDOM.integers(0, 256, (5, 7, 4), dtype=np.uint8)
GREY = RANDOM.integers(0, 256, (5, 7), dtype=np.uint8)


def _pixels(tensor: torch.Tensor) -> np.ndarray:
    assert tensor.dtype == torch.uint8
    return tensor.permute(1, 2, 0).numpy()


def test_foreground_from_one_file_or_two() -> None:
    one = decode_foreground({"__key__": "a", "rgba.png": picture_bytes(RGBA)})
    webp = decode_foreground({"__key__": "a", "rgba.webp": picture_bytes(RGBA, "WEBP", lossless=True, exact=True)})
    two = decode_foreground(
        {"__key__": "a", "fg.png": picture_bytes(RGBA[..., :3].copy()), "alpha.png": picture_bytes(RGBA[..., 3])}
    )
    for picture in (one, webp, two):
        assert picture.dtype == np.uint8
        assert (picture == RGBA).all()


def test_background_of_any_mode_is_colour() -> None:
    grey = decode_background({"__key__": "b", "png": picture_bytes(GREY)})
    assert (grey[..., :3] == GREY[..., None]).all()
    assert (grey[..., 3] == 255).all()
    flat = np.full((8, 8, 3), (200, 30, 90), np.uint8)
    jpeg = decode_background({"__key__": "b", "jpg": picture_bytes(flat, "JPEG", quality=95)})
    assert np.abs(jpeg[..., :3].astype(int) - flat).max() <= 3
    sixteen_bits = picture_bytes(GREY.astype(np.uint16) * 257)
    assert (_pixels(decode_colour(sixteen_bits, name="x")) == GREY[..., None]).all()


def test_grey_maps_of_any_depth() -> None:
    assert (_pixels(decode_grey(picture_bytes(GREY), name="x"))[..., 0] == GREY).all()
    assert (_pixels(decode_grey(picture_bytes(np.dstack([GREY] * 3)), name="x"))[..., 0] == GREY).all()
    pixels = np.array([[0, 128, 129, 257, 65406, 65407, 65535]], np.uint16)  # 128/257 rounds to 0, 129/257 to 1
    assert _pixels(decode_grey(picture_bytes(pixels), name="x")).ravel().tolist() == [0, 0, 1, 1, 254, 255, 255]
    binary = Image.fromarray(GREY > 100)
    assert (_pixels(decode_grey(picture_bytes(np.asarray(binary)), name="x"))[..., 0] == (GREY > 100) * 255).all()


def test_palette_with_transparency_keeps_its_alpha() -> None:
    picture = Image.fromarray(np.array([[0, 1, 1]], np.uint8), "P")
    picture.putpalette([255, 0, 0, 0, 0, 255])
    stream = io.BytesIO()
    picture.save(stream, "PNG", transparency=0)
    assert _pixels(decode_rgba(stream.getvalue(), name="x")).tolist() == [
        [[255, 0, 0, 0], [0, 0, 255, 255], [0, 0, 255, 255]]
    ]


def test_photographs_are_turned_as_their_exif_says() -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_colour(picture_bytes(pixels, "JPEG", exif=exif), name="x").shape == (3, 16, 8)


def test_evaluation_with_and_without_foreground() -> None:
    sample = {
        "__key__": "e",
        "image.png": picture_bytes(RGBA[..., :3].copy()),
        "trimap.png": picture_bytes(GREY),
        "alpha.png": picture_bytes(RGBA[..., 3]),
    }
    picture = decode_evaluation(sample)
    assert picture.foreground is None
    assert (_pixels(picture.trimap)[..., 0] == GREY).all()
    with_foreground = decode_evaluation({**sample, "fg.png": sample["image.png"]})
    assert with_foreground.foreground is not None
    assert torch.equal(with_foreground.foreground, picture.image)
    with pytest.raises(InputError, match=r"'e': expected .*, found alpha\.png, image\.png$"):
        decode_evaluation({name: member for name, member in sample.items() if name != "trimap.png"})
    with pytest.raises(InputError, match="sizes differ"):
        decode_evaluation({**sample, "alpha.png": picture_bytes(GREY[:4])})


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({}, "expected rgba.png"),
        ({"fg.png": b""}, "with alpha.png, found fg.png"),
        ({"rgba.png": b"not a picture"}, "k.rgba.png of shard.tar cannot be decoded"),
        ({"rgba.png": picture_bytes(RGBA)[:90]}, "cannot be decoded"),
        ({"rgba.png": picture_bytes(RGBA[..., :3].copy())}, "has no alpha channel"),
        (
            {"fg.png": picture_bytes(RGBA[..., :3].copy()), "alpha.png": picture_bytes(GREY[:, :6])},
            "sizes differ: fg.png 7x5, alpha.png 6x5",
        ),
    ],
)
def test_bad_foregrounds_are_one_line_with_key_and_shard(members: dict[str, bytes], says: str) -> None:
    with pytest.raises(InputError) as error:
        decode_foreground({"__key__": "k", "__url__": "shard.tar", **members})
    message = str(error.value)
    assert says in message
    assert "\n" not in message
    assert "shard.tar" in message


def test_size_is_bounded_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", 34)
    with pytest.raises(InputError, match="7x5 pixels, more than 34"):
        decode_colour(picture_bytes(GREY)[:60], name="x")  # the header is there, the pixels are not
