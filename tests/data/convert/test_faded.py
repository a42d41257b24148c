from pathlib import Path

import numpy as np
import pytest

from drip_lightning.data.convert.conversion import convert
from drip_lightning.data.convert.faded import BLACK, WHITE, divided_by_alpha, fading
from drip_lightning.data.convert.foregrounds import Foregrounds
from drip_lightning.data.convert.outcome import Refusal
from tests.data.convert.folders import pictures, save
from tests.shards import disc_rgba

ALPHA = np.repeat(np.array([0] * 5 + list(range(5, 255, 10)) + [255] * 10, np.uint8)[None], 8, axis=0)


def over(colour: tuple[int, int, int], background: int) -> np.ndarray:
    """A flat object's colour composited, as `aF + (1 - a)B`, rounded."""
    weight = ALPHA[..., None] / 255
    return (weight * np.array(colour) + (1 - weight) * background).round().astype(np.uint8)


@pytest.mark.parametrize("colour", [(200, 150, 90), (60, 90, 40), (250, 250, 250)])
def test_what_colours_fade_to(colour: tuple[int, int, int]) -> None:
    assert fading(over(colour, 0), ALPHA) == BLACK
    assert fading(np.full((*ALPHA.shape, 3), colour, np.uint8), ALPHA) is None
    if min(colour) < 240:
        assert fading(over(colour, 255), ALPHA) == WHITE


def test_dark_and_bright_objects_of_straight_colour_are_not_suspected() -> None:
    for level in (0, 5, 20, 128, 240, 255):
        assert fading(np.full((*ALPHA.shape, 3), level, np.uint8), ALPHA) is None
    for number in range(8):
        rgba = disc_rgba(number, 40, 40)
        assert fading(rgba[..., :3], rgba[..., 3]) is None


def test_premultiplied_colour_is_divided_by_alpha_by_hand() -> None:
    alpha = np.array([[0, 51, 102, 255]], np.uint8)  # a fifth, two fifths, all
    colour = np.array([[[0, 0, 0], [40, 20, 51], [80, 40, 102], [200, 100, 255]]], np.uint8)
    assert divided_by_alpha(colour, alpha).tolist() == [[[0, 0, 0]] + [[200, 100, 255]] * 3]
    with pytest.raises(Refusal, match=r"not premultiplied.*33% of its partial pixels are brighter than their alpha"):
        divided_by_alpha(np.where(alpha[..., None] == 51, 90, colour).astype(np.uint8), alpha)


def test_prepare_warns_of_premultiplied_colours_and_divides_them_if_told(tmp_path: Path) -> None:
    straight = np.full((*ALPHA.shape, 3), (200, 150, 90), np.uint8)
    for name, colour in (("black", over((200, 150, 90), 0)), ("white", over((200, 150, 90), 255)), ("own", straight)):
        save(tmp_path / "s" / f"{name}.png", np.dstack([colour, ALPHA]))
    kind = Foregrounds(sources=(tmp_path / "s",), codec="png")
    report = convert(kind, tmp_path / "out", workers=1).report
    assert [(Path(finding.file).name, finding.what) for finding in report.warned] == [
        ("black.png", BLACK),
        ("white.png", WHITE),
    ]
    assert sum(line.endswith("give --premultiplied)") for line in report.lines()) == 1
    kind = Foregrounds(sources=(tmp_path / "s",), codec="png", premultiplied=True)
    report = convert(kind, tmp_path / "divided", workers=1).report
    assert {Path(finding.file).name: finding.what for finding in report.refused} == dict.fromkeys(
        ("own.png", "white.png"), "not premultiplied"
    )
    assert report.warned == []
    found = pictures(tmp_path / "divided")["black.rgba.png"]
    assert (found[..., 3] == ALPHA).all()
    shown = ALPHA >= 25  # eight bits leave little of what is multiplied by less
    assert np.abs(found[shown][:, :3].astype(int) - (200, 150, 90)).max() <= 5
