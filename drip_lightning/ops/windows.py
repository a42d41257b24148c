"""Windows of a picture: the part that is worked on, tiles that cover it, and one result made of theirs."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from drip_lightning.ops.geometry import repeat_edge


@dataclass(frozen=True)
class Window:
    """A rectangle of a picture; it may reach beyond the right and the lower edge, where the last pixels repeat.

    Attributes:
        top: First row.
        left: First column.
        height: Rows.
        width: Columns.
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    def within(self, size: tuple[int, int]) -> "Window":
        """The part of it inside of a picture of (H, W)."""
        height, width = min(self.height, size[0] - self.top), min(self.width, size[1] - self.left)
        return Window(self.top, self.left, height, width)

    def relative_to(self, other: "Window") -> "Window":
        """The same, counted from the other's upper left."""
        return Window(self.top - other.top, self.left - other.left, self.height, self.width)

    def placed_in(self, other: "Window") -> "Window":
        """Undo `relative_to`."""
        return Window(self.top + other.top, self.left + other.left, self.height, self.width)

    def times(self, factor: int) -> "Window":
        """The same in a picture `factor` times larger."""
        return Window(*(factor * side for side in (self.top, self.left, self.height, self.width)))

    def over(self, factor: int) -> "Window":
        """The same in a picture `factor` times smaller; every side must be divisible."""
        assert not any(side % factor for side in (self.top, self.left, self.height, self.width)), (self, factor)
        return Window(*(side // factor for side in (self.top, self.left, self.height, self.width)))

    def view(self, picture: Tensor) -> Tensor:
        """The pixels of (…, H, W) that are in it, not copied; fewer than its size beyond the edges."""
        return picture[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def cut(self, picture: Tensor) -> Tensor:
        """Its pixels of (…, H, W), as (…, height, width)."""
        return repeat_edge(self.view(picture), self.size)


def unknown_window(unknown: Tensor) -> Window | None:
    """The smallest window that holds every set pixel of a mask (…, H, W); none if none is set."""
    rows, columns = (unknown.flatten(0, -3).any(dim=0).any(dim=axis).nonzero() for axis in (1, 0))
    if not len(rows):
        return None
    (top, left), (bottom, right) = ((int(rows[end]), int(columns[end])) for end in (0, -1))
    return Window(top, left, bottom - top + 1, right - left + 1)


def widened(window: Window, context: int, multiple: int, size: tuple[int, int]) -> Window:
    """Widen a window by its context, and on to a grid of `multiple` that starts at the picture's upper left.

    Args:
        window: In the picture.
        context: Pixels on each side, as far as the picture has them.
        multiple: Of which all its sides become multiples.
        size: (H, W) of the picture, beyond which only the grid leads.
    """

    def axis(start: int, length: int, end: int) -> tuple[int, int]:
        first = max(0, start - context) // multiple * multiple
        return first, round_up(min(end, start + length + context) - first, multiple)

    (top, height), (left, width) = axis(window.top, window.height, size[0]), axis(window.left, window.width, size[1])
    return Window(top, left, height, width)


def round_up(number: int, multiple: int) -> int:
    """The next multiple."""
    return -(-number // multiple) * multiple


@dataclass(frozen=True)
class Tiles:
    """Tiles of a window, computed one by one, their results blended where they overlap.

    Attributes:
        window: What they cover, or would, if none had been left out.
        overlap: Pixels that neighbours share at least.
        each: The tiles, row by row.
    """

    window: Window
    overlap: int
    each: tuple[Window, ...]

    @classmethod
    def cover(cls, window: Window, side: int, overlap: int, multiple: int = 1) -> "Tiles":
        """Cover a window exactly, with as few and then as small tiles as will do.

        Args:
            window: What is covered; its sides are multiples of `multiple`, as is the next.
            side: Of a tile at most.
            overlap: Less than `side`, and of what the tiles' places are multiples; the last two along a side may share
                more.
            multiple: Of which the tiles' sides are.
        """

        def axis(length: int) -> tuple[int, list[int]]:
            count = max(1, -(-(length - overlap) // (side - overlap)))
            own = round_up(-(-(length + (count - 1) * overlap) // count), multiple)
            return own, [min(place * (own - overlap), length - own) for place in range(count)]

        (height, rows), (width, columns) = axis(window.height), axis(window.width)
        each = (Window(window.top + row, window.left + column, height, width) for row in rows for column in columns)
        return cls(window, overlap, tuple(each))

    def where(self, wanted: Callable[[Window], bool]) -> "Tiles":
        """Without those that are not wanted."""
        return Tiles(self.window, self.overlap, tuple(tile for tile in self.each if wanted(tile)))

    def over(self, factor: int) -> "Tiles":
        """The same in a picture `factor` times smaller; every side must be divisible."""
        return Tiles(self.window.over(factor), self.overlap // factor, tuple(tile.over(factor) for tile in self.each))

    def covered(self) -> Tensor:
        """Where in the window (H, W) there is a tile: true there, false elsewhere."""
        covered = torch.zeros(self.window.size, dtype=torch.bool)
        for tile in self.each:
            tile.relative_to(self.window).view(covered).fill_(True)
        return covered

    def weight(self, tile: Window) -> Tensor:
        """How much a tile counts at each of its pixels (height, width), in (0, 1].

        Towards a neighbour it falls as a squared cosine over the overlap, so that the two add up to 1; at the edges of
        the window it does not fall.
        """
        place, overlap = tile.relative_to(self.window), self.overlap

        def axis(start: int, length: int, end: int) -> Tensor:
            weight = torch.ones(length)
            rising = torch.sin((torch.arange(overlap) + 0.5) * (math.pi / 2 / max(1, overlap))).square()
            if start > 0:
                weight[:overlap] *= rising
            if start + length < end:
                weight[length - overlap :] *= rising.flip(0)
            return weight

        rows = axis(place.top, tile.height, self.window.height)
        return rows[:, None] * axis(place.left, tile.width, self.window.width)

    def blend(self, run: Callable[[Window], Tensor]) -> Tensor:
        """Compute the tiles, at least one.

        Args:
            run: From a tile to its result (…, height, width).

        Returns:
            (…, H, W) of the window: the mean of the tiles by their weights; 0 where there is none. The result of a
            tile that is the window is returned as it is.
        """
        if self.each == (self.window,):
            return run(self.window)
        total: Tensor | None = None
        weights = torch.zeros(self.window.size)
        for tile in self.each:
            result, weight, place = run(tile), self.weight(tile), tile.relative_to(self.window)
            if total is None:
                total = result.new_zeros(*result.shape[:-2], *self.window.size)
                weights = weights.to(total)
            weight = weight.to(total)
            place.view(total).add_(result * weight)
            place.view(weights).add_(weight)
        assert total is not None
        return total.div_(weights.clamp_min_(torch.finfo(torch.float32).tiny))
