"""The worst cases to look at: image, trimap, truth, prediction and error side by side, kept while they are measured."""

import heapq
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from drip_lightning.data.sample import MattingBatch
from drip_lightning.evaluation.summary import RowResult
from drip_lightning.pipeline import Matte

PANEL = 240
"""Longest side of each of a case's five pictures."""
_CASES = 8
_LINE = 22
"""Height of a line of text."""
_COLUMNS = ("image", "trimap", "truth", "prediction", "|error|")


class WorstCases:
    """Pictures of the cases with the largest mean error of alpha, a few for each row.

    Each rank keeps the worst that it has seen; since a case's picture is written before its result, those of the whole
    evaluation are always among them.
    """

    def __init__(self, folder: Path, rows: Sequence[str]) -> None:
        """Say where and for whom.

        Args:
            folder: Where pictures are kept until the sheet is drawn.
            rows: The rows of all methods; the more, the fewer cases of each.
        """
        self._folder = folder
        self._rows = list(rows)
        self.cases = max(2, _CASES // len(self._rows))
        self._kept: dict[str, list[tuple[float, int]]] = {row: [] for row in rows}

    def see(self, row: str, number: int, error: float, picture: MattingBatch, matte: Matte) -> None:
        """Keep a case if it is among the worst of its row so far."""
        kept = self._kept[row]
        if any(number == other for _, other in kept) or (len(kept) == self.cases and error <= kept[0][0]):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        draw_case(picture, matte).save(self._file(row, number))
        heapq.heappush(kept, (error, number))
        if len(kept) > self.cases:
            self._file(row, heapq.heappop(kept)[1]).unlink(missing_ok=True)

    def sheet(self, results: Sequence[RowResult], metric: str) -> Image.Image:
        """Draw the worst cases of every row, of the first seed, worst first."""
        blocks = []
        for row in self._rows:
            own = [one for one in results if one.row == row]
            own = [one for one in own if one.result["seed"] == own[0].result["seed"]]
            own.sort(key=lambda one: (-one.scores["metrics"][metric], one.result["number"]))
            blocks += [self._strip(one, metric) for one in own[: self.cases]]
        sheet = Image.new("RGB", (max(block.width for block in blocks), sum(block.height for block in blocks)), "white")
        top = 0
        for block in blocks:
            sheet.paste(block, (0, top))
            top += block.height
        return sheet

    def _strip(self, one: RowResult, metric: str) -> Image.Image:
        with Image.open(self._file(one.row, one.result["number"])) as case:
            strip = Image.new("RGB", (max(case.width, 5 * PANEL), case.height + _LINE), "white")
            strip.paste(case, (0, _LINE))
        error, sad = one.scores["metrics"][metric], one.scores["metrics"][metric.replace("mad", "sad")]
        text = f"{one.row}: {one.result['key']}   MAD {1e3 * error:.1f} ×10⁻³   SAD {1e-3 * sad:.2f} ×10³"
        draw, font = ImageDraw.Draw(strip), ImageFont.load_default(13)
        draw.text((4, 3), text, fill="black", font=font)
        names = "  |  ".join(_COLUMNS)
        draw.text((strip.width - 4, 3), names, fill=(110, 110, 110), font=font, anchor="ra")
        return strip

    def _file(self, row: str, number: int) -> Path:
        return self._folder / f"{self._rows.index(row)}-{number}.png"


def draw_case(picture: MattingBatch, matte: Matte) -> Image.Image:
    """Image, trimap, truth, prediction and error, each at most `PANEL` wide and high, side by side."""
    height, width = picture["image"].shape[-2:]
    scale = min(1.0, PANEL / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    error = (matte.alpha - picture["alpha"]).abs()
    maps = [picture["image"], picture["trimap"], picture["alpha"], matte.alpha, heat(error)]
    small = [F.interpolate(one.float().cpu(), size=size, mode="area").expand(1, 3, -1, -1) for one in maps]
    framed = [F.pad(one, (0, PANEL - size[1], 0, 4), value=1.0) for one in small]
    pixels = (torch.cat(framed, dim=-1)[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    return Image.fromarray(pixels.numpy())


def heat(error: Tensor) -> Tensor:
    """Colours of an error (1, 1, H, W) in [0, 1]: black, red, yellow, white; square roots show small ones, too."""
    level = 3 * error.clamp(0, 1).sqrt()
    return torch.cat([level.clamp(0, 1), (level - 1).clamp(0, 1), (level - 2).clamp(0, 1)], dim=1)
