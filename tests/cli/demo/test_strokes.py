import numpy as np
import torch

from drip_lightning.cli.demo.strokes import COLOURS, painted_over, read_strokes


def _layer(rows: list[str]) -> np.ndarray:
    """A painted layer of a letter a pixel: the name's first, or a space."""
    of = {name[0]: [*bytes.fromhex(colour[1:]), 153] for name, colour in COLOURS.items()} | {" ": [0, 0, 0, 0]}
    return np.array([[of[letter] for letter in row] for row in rows], np.uint8)


def test_colours_are_read_back_at_the_pictures_size() -> None:
    strokes = read_strokes(_layer(["fb", "u "]), (4, 6))
    assert strokes is not None
    expected = np.array([[*"fffbbb"]] * 2 + [[*"uuu   "]] * 2)
    for name in COLOURS:
        assert np.array_equal(strokes[name], expected == name[0]), name


def test_edges_count_as_the_nearest_colour_and_a_trace_as_nothing() -> None:
    layer = _layer(["fub"])
    layer[..., :3] = layer[..., :3] * 0.6 + 40  # as where a brush is soft
    strokes = read_strokes(layer, (1, 3))
    assert strokes is not None
    assert [np.flatnonzero(strokes[name]).tolist() for name in ("foreground", "unknown", "background")] == [
        [0],
        [1],
        [2],
    ]
    layer[..., 3] = 20
    assert read_strokes(layer, (1, 3)) is None
    assert read_strokes(None, (1, 3)) is None


def test_strokes_say_what_is_known_and_change_no_argument() -> None:
    trimap = torch.tensor([0, 0.5, 1, 0, 0.5, 1])[None, None, None]
    given = trimap.clone()
    strokes = read_strokes(_layer(["fff   "]), (1, 6))
    assert torch.equal(painted_over(strokes)(trimap)[0, 0, 0], torch.tensor([1, 1, 1, 0, 0.5, 1]))
    strokes = read_strokes(_layer(["fubbuu"]), (1, 6))
    assert torch.equal(painted_over(strokes)(trimap)[0, 0, 0], torch.tensor([1, 0.5, 0, 0, 0.5, 0.5]))
    only = painted_over(strokes, ("unknown",))(trimap)
    assert torch.equal(only[0, 0, 0], torch.tensor([0, 0.5, 1, 0, 0.5, 0.5]))
    assert torch.equal(painted_over(None)(trimap), trimap)
    assert torch.equal(trimap, given)
