"""How good mattes of 1 to 12 megapixels are, by what the networks see of them: SAD, αF SAD and seams.

    OMP_NUM_THREADS=1 python -m benchmarks.picture_quality --checkpoint C [--megapixels 1 4 12] [--pictures 4 2 1]
        [--foregrounds FOLDER --backgrounds FOLDER] [--band 0.01] [--unknown-at-most 1] [--ways W …]

Pictures are made for it, with an unknown band of a share of the side around what is partly transparent: procedural
objects over procedural backgrounds, drawn at their size; or, of folders of RGBA cut-outs and of photographs, in turns
one cut-out enlarged to fill the picture, and several at their own size, side by side. Seams: how much the error changes
from pixel to pixel along the tiles' borders, divided by how much it changes elsewhere; 1 is none. Means are what single
pictures make them; so a second table compares picture by picture: each way's error over that of the first of `--ways`,
the geometric mean of all pictures, and by how much that would vary. `--json` keeps every picture's figures as they
come, and CPU seconds, without hints that another way had computed.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from rich.console import Console
from rich.table import Table
from torch import Tensor

from drip_lightning.data.picture_files import find_pictures
from drip_lightning.data.synth.families import FAMILIES, draw_foreground
from drip_lightning.data.synth.samples import composite
from drip_lightning.data.synth.textures import draw_background
from drip_lightning.lit.matting import MattingStage
from drip_lightning.nn.sampler import Matte, MattingSampler
from drip_lightning.ops.hints.choice import Guess, Hints
from drip_lightning.ops.metrics import foreground_sad, sad
from drip_lightning.ops.sizes import Sizes
from drip_lightning.ops.trimap import trimap_from_alpha, unknown_mask

Way = Callable[[MattingSampler, Tensor, Tensor], Matte]
Picture = dict[str, Tensor]
"""Image, foreground, alpha and trimap, (1, C, H, W) in [0, 1]."""

WHOLE_AT_MOST = 1.5
"""Megapixels up to which pictures are tried without tiles."""
FIGURES = "SAD", "αF SAD"
CELL = 700
"""Side of the room that a cut-out gets at its own size."""


@dataclass(frozen=True)
class Procedural:
    """Objects drawn at the size that is asked for.

    Attributes:
        bands: Of a picture's side, how far the unknown region reaches beyond what is partly transparent; in turns.
    """

    bands: Sequence[float]

    def draw(self, side: int, number: int) -> Picture:
        """A composite of (side, side) pixels."""
        generator = np.random.default_rng([side, number])
        colour, alpha = draw_foreground(list(FAMILIES)[number % len(FAMILIES)], side, generator)
        return _picture(colour, alpha, draw_background(side, generator, None), _band(self.bands, number))


@dataclass(frozen=True)
class Composites:
    """Cut-outs over photographs; the bands as in `Procedural`."""

    foregrounds: Sequence[Path]
    backgrounds: Sequence[Path]
    bands: Sequence[float]

    def draw(self, side: int, number: int) -> Picture:
        """A composite of (side, side) pixels."""
        generator = np.random.default_rng([side, number])
        row = 1 if number % 2 == 0 else max(1, side // CELL)
        cell = side // row
        layer = Image.new("RGBA", (side, side))
        for place, chosen in enumerate(generator.permutation(len(self.foregrounds))[: row * row]):
            with Image.open(self.foregrounds[chosen]) as file:
                cutout = file.convert("RGBA")
            if row == 1 or max(cutout.size) > cell:
                cutout = ImageOps.contain(cutout, (cell, cell), Image.Resampling.BICUBIC)
            layer.paste(cutout, (place % row * cell, place // row * cell))
        with Image.open(self.backgrounds[number % len(self.backgrounds)]) as file:
            behind = ImageOps.fit(file.convert("RGB"), (side, side), Image.Resampling.BICUBIC)
        pixels = np.asarray(layer)
        return _picture(pixels[..., :3], pixels[..., 3], np.asarray(behind), _band(self.bands, number))


def _band(bands: Sequence[float], number: int) -> float:
    return bands[number // 2 % len(bands)]  # each with one cut-out and with several


def _picture(colour: np.ndarray, alpha: np.ndarray, background: np.ndarray, band: float) -> Picture:
    maps = {"image": composite(colour, alpha, background), "foreground": colour, "alpha": alpha[..., None]}
    batch = {name: torch.from_numpy(one.copy()).permute(2, 0, 1)[None] / 255 for name, one in maps.items()}
    radius = [round(len(alpha) * band)]
    return batch | {"trimap": trimap_from_alpha(batch["alpha"], radius, radius)}


def at(sizes: Sizes) -> Way:
    """The sampler at these sizes."""

    def run(sampler: MattingSampler, image: Tensor, trimap: Tensor) -> Matte:
        generators = [torch.Generator().manual_seed(0)]
        return replace(sampler, sizes=sizes)(image, trimap, steps=1, generators=generators)

    return run


def flipped(way: Way) -> Way:
    """The picture mirrored, and the result mirrored back."""

    def run(sampler: MattingSampler, image: Tensor, trimap: Tensor) -> Matte:
        matte = way(sampler, image.flip(-1), trimap.flip(-1))
        return Matte(matte.foreground.flip(-1), matte.alpha.flip(-1))

    return run


def mean_of(*ways: Way) -> Way:
    """The mean of several."""

    def run(sampler: MattingSampler, image: Tensor, trimap: Tensor) -> Matte:
        mattes = [way(sampler, image, trimap) for way in ways]
        maps = zip(*((matte.foreground, matte.alpha) for matte in mattes), strict=True)
        return Matte(*(torch.stack(one).mean(dim=0) for one in maps))

    return run


TILE = 512
"""Of every way that does not name its own."""
SIZES = {
    "native, whole": Sizes(None, None),
    **{f"native, tiles of {side}": Sizes(None, side) for side in (512, 384, 256, 192)},
    **{str(side): Sizes(side, TILE) for side in (512, 768, 1024)},
}
_native = at(Sizes(None, TILE))
WAYS: dict[str, tuple[Way, Sizes]] = {
    **{name: (at(sizes), sizes) for name, sizes in SIZES.items()},
    "native and mirrored": (mean_of(_native, flipped(_native)), Sizes(None, TILE)),
    "native and 1024": (mean_of(_native, at(Sizes(1024, TILE))), Sizes(None, TILE)),
}
"""Each with the sizes at whose tiles' borders seams are looked for."""


class RememberedHints(Hints):
    """Hints that are computed once for every tile that several ways share."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self._known: dict[tuple[object, ...], Tensor] = {}

    @property
    def guesses(self) -> tuple[Guess, ...]:
        return self._hints.guesses

    @property
    def bytes_per_pixel(self) -> int:  # type: ignore[override]
        return self._hints.bytes_per_pixel

    def __call__(self, image: Tensor, trimap: Tensor) -> Tensor:
        key = (*image.shape, image.double().sum().item(), trimap.double().sum().item())
        if key not in self._known:
            self._known[key] = self._hints.as_uint8(image, trimap)
        return self._known[key] / 255

    def foreground(self, image: Tensor, alpha: Tensor, answered: Tensor) -> Tensor:
        return self._hints.foreground(image, alpha, answered)


def seams(sampler: MattingSampler, sizes: Sizes, error: Tensor, trimap: Tensor) -> float:
    """How the error (1, 1, H, W) changes across tiles' borders, relative to elsewhere."""
    layout = sizes.layout(trimap, sampler.multiples)
    assert layout is not None
    borders = {tile.left + end for tile in layout.tiles.each for end in (0, tile.width)}
    changes, unknown = error.diff(dim=-1).abs(), unknown_mask(trimap)
    inside = unknown[..., 1:] & unknown[..., :-1]
    at_border = torch.zeros_like(inside)
    for column in borders:
        if 0 < column < error.shape[-1]:
            at_border[..., column - 1] = True
    there, elsewhere = inside & at_border, inside & ~at_border
    return (changes[there].mean() / changes[elsewhere].mean()).item() if there.any() else float("nan")


def drawn(
    pictures: Procedural | Composites, megapixels: float, count: int, unknown_at_most: float
) -> Iterator[tuple[int, Picture]]:
    """So many pictures with their numbers, without those of which a larger share is unknown."""
    numbered = ((number, pictures.draw(round((megapixels * 1e6) ** 0.5), number)) for number in itertools.count())
    fitting = (one for one in numbered if unknown_mask(one[1]["trimap"]).float().mean() <= unknown_at_most)
    return itertools.islice(fitting, count)


def measured(
    sampler: MattingSampler,
    pictures: Iterable[tuple[int, Picture]],
    megapixels: float,
    ways: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """Each way's figures of each picture of a size."""
    for number, own in pictures:
        remembering = replace(sampler, hints=RememberedHints(sampler.hints))
        unknown = unknown_mask(own["trimap"])
        kilopixels = unknown.sum().item() / 1000
        for name in ways:
            if name == "native, whole" and megapixels > WHOLE_AT_MOST:
                continue
            way, sizes = WAYS[name]
            start = time.process_time()
            matte = way(remembering, own["image"], own["trimap"])
            seconds = time.process_time() - start
            colour = foreground_sad(matte.foreground, own["foreground"], own["alpha"], unknown)
            yield {
                "way": name,
                "megapixels": megapixels,
                "picture": number,
                "unknown share": unknown.float().mean().item(),
                "SAD": sad(matte.alpha, own["alpha"], unknown).item() / kilopixels,
                "αF SAD": colour.item() / kilopixels,
                "seams": seams(sampler, sizes, matte.alpha - own["alpha"], own["trimap"]),
                "seconds": seconds,
            }


def means(rows: Sequence[dict[str, Any]]) -> Table:
    """The table: each way's means over the pictures of a size."""
    table = Table("megapixels", "what the networks see", title="means; SAD and αF SAD per 1000 unknown pixels")
    for heading in (*FIGURES, "seams"):
        table.add_column(heading, justify="right")
    for megapixels, way in dict.fromkeys((row["megapixels"], row["way"]) for row in rows):
        own = [row for row in rows if (row["megapixels"], row["way"]) == (megapixels, way)]
        figures = (f"{np.nanmean([row[name] for row in own]):.2f}" for name in (*FIGURES, "seams"))
        table.add_row(f"{megapixels:g}", way, *figures)
    return table


def ratios(rows: Sequence[dict[str, Any]], reference: str) -> Table:
    """The table to choose by: geometric means over pictures, of each size and of all, of a way's error over another's.

    Args:
        rows: As `measured` yields them.
        reference: The way that errors are divided by.
    """
    table = Table("megapixels", "pictures", "what the networks see", title=f"error over that of {reference}")
    for heading in FIGURES:
        table.add_column(heading, justify="right")
    known = {(row["way"], row["megapixels"], row["picture"]): row for row in rows}
    sizes = tuple(dict.fromkeys(row["megapixels"] for row in rows))
    ways = [way for way in dict.fromkeys(row["way"] for row in rows) if way != reference]
    for chosen in (*((size,) for size in sizes), sizes):
        for way in ways:
            pairs = [
                (row, known[reference, *place])
                for (name, *place), row in known.items()
                if name == way and row["megapixels"] in chosen and (reference, *place) in known
            ]
            logs = [[np.log(row[figure] / other[figure]) for row, other in pairs] for figure in FIGURES]
            label = f"{chosen[0]:g}" if len(chosen) == 1 else "all"
            table.add_row(label, str(len(pairs)), way, *map(_geometric_mean, logs))
    return table


def _geometric_mean(logs: Sequence[float]) -> str:
    """With its standard error."""
    mean = np.exp(np.mean(logs)) if logs else float("nan")
    return f"{mean:.3f}" + (f" ± {mean * np.std(logs, ddof=1) / len(logs) ** 0.5:.3f}" if len(logs) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="run folder, checkpoint or export; one step")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 4, 12])
    parser.add_argument("--pictures", type=int, nargs="+", default=[4, 2, 1], help="of each size")
    parser.add_argument("--foregrounds", type=Path, help="folder of RGBA cut-outs, in place of procedural objects")
    parser.add_argument("--backgrounds", type=Path, help="folder of photographs")
    parser.add_argument(
        "--band", type=float, nargs="+", default=[0.01], help="of the unknown region, in sides; in turns"
    )
    parser.add_argument("--unknown-at-most", type=float, default=1, help="share; other pictures are passed over")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--json", type=Path, help="also write each picture's figures here")
    arguments = parser.parse_args()
    if (arguments.foregrounds is None) != (arguments.backgrounds is None):
        parser.error("--foregrounds and --backgrounds go together")
    pictures: Procedural | Composites = Procedural(arguments.band)
    if arguments.foregrounds is not None:
        folders = arguments.foregrounds, arguments.backgrounds
        pictures = Composites(
            *([path for paths in find_pictures(folder).files.values() for path in paths] for folder in folders),
            bands=arguments.band,
        )
    torch.set_num_threads(1)
    sampler = MattingStage.from_checkpoint(arguments.checkpoint).sampler
    rows: list[dict[str, Any]] = []
    for megapixels, count in zip(arguments.megapixels, arguments.pictures, strict=True):
        own = drawn(pictures, megapixels, count, arguments.unknown_at_most)
        for row in measured(sampler, own, megapixels, arguments.ways):
            rows.append(row)
            if arguments.json:
                arguments.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False))
    Console().print(means(rows))
    Console().print(ratios(rows, arguments.ways[0]))


if __name__ == "__main__":
    main()
