"""The worst cases to look at: image, trimap, truth, prediction and error side by side, kept while they are measured."""

import heapq
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from drip_lightning.data.sample import MattingBatch
from drip_lightning.evaluation.journal import writing_to
from drip_lightning.evaluation.summary import RowResult
from drip_lightning.nn.sampler import Matte
from drip_lightning.ops.picture import as_picture

PANEL = 240
"""Longest side of each of a case's five pictures."""
_CASES = 8
_LINE = 22
"""Height of a line of text."""
_GAP = 4
"""White between pictures."""
_COLUMNS = ("image", "trimap", "true alpha", "predicted alpha", "error")


class WorstCases:
    """Pictures of the cases with the largest mean error of alpha, a few for each row.

    Each rank keeps the worst that it has seen; since a case's picture is written before its result, those of the whole
    evaluation are always among them.
    """

    def __init__(self, folder: Path, rows: Sequence[str], cases: int | None = None) -> None:
        """Say where and for whom.

        Args:
            folder: Where pictures are kept until the sheet is drawn.
            rows: The rows of all methods.
            cases: How many of each row; if not given, the fewer, the more rows there are.
        """
        self._folder = folder
        self._rows = list(rows)
        self.cases = cases or max(2, _CASES // len(self._rows))
        self._kept: dict[str, list[tuple[float, int]]] = {row: [] for row in rows}

    def see(self, row: str, number: int, error: float, picture: MattingBatch, matte: Matte) -> None:
        """Keep a case if it is among the worst of its row so far."""
        kept, case = self._kept[row], (error, -number)  # of equal ones the first counts as the worst, as in `sheet`
        if len(kept) == self.cases and case < kept[0]:
            return
        with writing_to(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            draw_case(picture, matte).save(self._file(row, number))
        heapq.heappush(kept, case)
        if len(kept) > self.cases:
            self._file(row, -heapq.heappop(kept)[1]).unlink(missing_ok=True)

    def sheet(self, results: Sequence[RowResult], metric: str) -> Image.Image:
        """Draw the worst cases of every row, of the first seed, worst first."""
        strips = [_header()]
        for row in self._rows:
            own = [one for one in results if one.row == row]
            own = [one for one in own if one.result["seed"] == own[0].result["seed"] and self._has(one)]
            own.sort(key=lambda one: (-one.scores["metrics"][metric], one.result["number"]))
            strips += [self._captioned(one, metric) for one in own[: self.cases] if one.scores["metrics"][metric]]
        sheet = Image.new("RGB", (len(_COLUMNS) * PANEL, sum(strip.height for strip in strips)), "white")
        top = 0
        for strip in strips:
            sheet.paste(strip, (0, top))
            top += strip.height
        return sheet

    def _captioned(self, one: RowResult, metric: str) -> Image.Image:
        metrics = one.scores["metrics"]
        caption = f"{one.row}: {one.result['key']}, MAD {metrics[metric]:.4f}"
        with Image.open(self._file(one.row, one.result["number"])) as case:
            strip = Image.new("RGB", (case.width, case.height + _LINE), "white")
            strip.paste(case, (0, _LINE))
        _write(strip, 0, caption)
        return strip

    def _has(self, one: RowResult) -> bool:
        """Whether the case was drawn: one that takes the place of a picture left out of another row may not be."""
        return self._file(one.row, one.result["number"]).is_file()

    def _file(self, row: str, number: int) -> Path:
        return self._folder / f"{self._rows.index(row)}-{number}.png"


def draw_case(picture: MattingBatch, matte: Matte) -> Image.Image:
    """Image, trimap, truth, prediction and error, each fitted into a square of `PANEL`, side by side."""
    height, width = picture["image"].shape[-2:]
    scale = (PANEL - _GAP) / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    error = (matte.alpha - picture["alpha"]).abs()
    maps = [picture["image"], picture["trimap"], picture["alpha"], matte.alpha, heat(error)]
    fitted = [
        F.interpolate(one.float().cpu(), size=size, mode="area" if scale < 1 else "nearest").expand(1, 3, -1, -1)
        for one in maps
    ]
    framed = [F.pad(one, (0, PANEL - size[1], 0, _GAP), value=1.0) for one in fitted]
    return as_picture(torch.cat(framed, dim=-1)[0])


def heat(error: Tensor) -> Tensor:
    """Colours of an error (1, 1, H, W) in [0, 1]: black, red, yellow, white; square roots show small ones, too."""
    heat = 3 * error.clamp(0, 1).sqrt()
    return torch.cat([heat.clamp(0, 1), (heat - 1).clamp(0, 1), (heat - 2).clamp(0, 1)], dim=1)


def _header() -> Image.Image:
    header = Image.new("RGB", (len(_COLUMNS) * PANEL, _LINE), "white")
    for place, name in enumerate(_COLUMNS):
        _write(header, place * PANEL, name)
    return header


def _write(picture: Image.Image, left: int, text: str) -> None:
    ImageDraw.Draw(picture).text((left + 2, 3), text, fill="black", font=ImageFont.load_default(13))
