import io
import sys

import numpy as np
import OpenEXR
import pytest

from drip_lightning.data.exr import exr_size, read_exr, write_exr
from drip_lightning.data.pictures import TooBigError
from drip_lightning.errors import InputError

COLOUR = np.arange(60, dtype=np.float32).reshape(4, 5, 3) / 8  # exact in half floats, up to 7.4
ACES = (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.322, 0.338)
ALPHA = np.tile(np.array([0, 0.25, 0.5, 0.75, 1], np.float32), (4, 1))


def channels(content: bytes) -> dict[str, np.ndarray]:
    file = OpenEXR.File(io.BytesIO(content), separate_channels=True)
    return {name: channel.pixels for name, channel in file.channels().items()}


def written(header: dict[str, object], **planes: np.ndarray) -> bytes:
    stream = io.BytesIO()
    OpenEXR.File(header, planes).write(stream)
    return stream.getvalue()


def test_a_file_holds_premultiplied_half_floats_above_one() -> None:
    content = write_exr(colour=COLOUR, alpha=ALPHA)
    planes = channels(content)
    assert {plane.dtype for plane in planes.values()} == {np.dtype(np.float16)}
    assert np.array_equal(planes["A"], ALPHA)
    for place, name in enumerate("RGB"):
        assert np.array_equal(planes[name], (COLOUR[..., place] * ALPHA).astype(np.float16))
    assert planes["B"].max() > 7


def test_what_was_written_is_read_as_straight_colour() -> None:
    found = read_exr(write_exr(colour=COLOUR, alpha=ALPHA), name="x")
    assert np.array_equal(found.alpha, ALPHA)
    seen = ALPHA > 0
    assert np.allclose(found.colour[seen], COLOUR[seen], rtol=1e-3)
    assert (found.colour[~seen] == 0).all()
    opaque = read_exr(write_exr(colour=COLOUR, alpha=None), name="x")
    assert opaque.alpha is None
    assert np.array_equal(opaque.colour, COLOUR.astype(np.float16))


def test_one_channel_is_a_matte() -> None:
    assert np.array_equal(read_exr(write_exr(colour=None, alpha=ALPHA), name="x").alpha, ALPHA)
    for name in ("Y", "matte"):
        found = read_exr(written({}, **{name: ALPHA}), name="x")
        assert found.colour is None
        assert np.array_equal(found.alpha, ALPHA)


def test_pixels_lie_in_the_display_window() -> None:
    windows = {"displayWindow": ((0, 0), (5, 3)), "dataWindow": ((2, -1), (3, 1))}
    plane = np.array([[9, 9], [1, 2], [3, np.nan]], np.float32)  # its first row lies above the window
    found = read_exr(written(windows, R=plane, G=plane, B=plane), name="x").colour
    expected = np.zeros((4, 6), np.float32)
    expected[0, 2:4], expected[1, 2] = (1, 2), 3
    assert np.array_equal(found[..., 0], expected)


def test_the_size_is_known_before_a_pixel_is_read() -> None:
    windows = {"displayWindow": ((0, 0), (5, 3)), "dataWindow": ((2, -1), (3, 1))}
    content = written(windows, R=np.zeros((3, 2), np.float32))
    without_pixels = content[:-24]  # all but the header and the places of its rows
    assert exr_size(without_pixels, name="x") == (6, 4)
    with pytest.raises(InputError, match="x cannot be decoded: damaged"):
        read_exr(without_pixels, name="x")


@pytest.mark.parametrize("window", ["displayWindow", "dataWindow"])
def test_a_picture_too_big_is_refused_before_it_is_read(window: str) -> None:
    """By what it shows, and by what it stores: a few bytes can say a terabyte."""
    content = write_exr(colour=None, alpha=ALPHA)
    place = content.index(window.encode()) + len(f"{window}\0box2i\0") + 4
    corner = np.array([2**20 - 1, 2**19 - 1], "<i4").tobytes()
    huge = content[: place + 8] + corner + content[place + 16 :]
    for read in (exr_size, read_exr):
        with pytest.raises(TooBigError, match=r"^x has 1048576x524288 pixels, more than .*: make it smaller$"):
            read(huge, name="x")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"no picture at all", "x cannot be decoded: "),
        (write_exr(colour=COLOUR, alpha=None)[:300], "x cannot be decoded: "),
        (written({}, U=ALPHA, V=ALPHA), "x has the channels U, V: expected R, G, B and A, or one alone"),
        (
            written(
                {"chromaticities": (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.322, 0.338)}, R=ALPHA, G=ALPHA, B=ALPHA
            ),
            "x has other primaries than sRGB",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        read_exr(content, name="x")


def test_the_package_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(InputError, match=r"pip install 'drip_lightning\[exr\]'"):
        read_exr(b"", name="x")


def test_of_a_damaged_file_the_library_says_nothing_itself(capfd: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(0)
    whole = write_exr(colour=generator.random((64, 64, 3)), alpha=None)
    with pytest.raises(InputError, match="x cannot be decoded: damaged"):
        read_exr(whole[: len(whole) // 2], name="x")
    assert capfd.readouterr() == ("", "")
    print("heard", file=sys.stderr)
    assert capfd.readouterr().err == "heard\n"
