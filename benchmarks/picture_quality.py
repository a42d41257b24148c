"""How good mattes of 1 to 12 megapixels are, by what the denoiser sees of them: SAD, αF SAD and seams.

    OMP_NUM_THREADS=1 python -m benchmarks.picture_quality --checkpoint C [--megapixels 1 4 12] [--pictures 4]

Pictures are procedural objects over procedural backgrounds, drawn at their size, with an unknown band of a hundredth of
the side around what is partly transparent. Seams: how much the error changes from pixel to pixel along the tiles'
borders, divided by how much it changes elsewhere; 1 is none.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

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

WHOLE_AT_MOST = 4.5
"""Megapixels up to which pictures are tried without tiles."""


def picture(side: int, number: int) -> dict[str, Tensor]:
    """A composite: image, foreground, alpha and trimap, in [0, 1]."""
    generator = np.random.default_rng([side, number])
    colour, alpha = draw_foreground(list(FAMILIES)[number % len(FAMILIES)], side, generator)
    image = composite(colour, alpha, draw_background(side, generator, None))
    maps = {"image": image, "foreground": colour, "alpha": alpha[..., None]}
    batch = {name: torch.from_numpy(one).permute(2, 0, 1)[None] / 255 for name, one in maps.items()}
    radius = [side // 100]
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


WAYS: dict[str, Way] = {
    "native, whole": at(Sizes(None, None)),
    "native, tiles of 256": at(Sizes(None, 256)),
    "native, tiles of 512": at(Sizes(None, 512)),
    "512": at(Sizes(512, 512)),
    "768": at(Sizes(768, 512)),
    "1024": at(Sizes(1024, 512)),
    "512, with the mirrored picture": mean_of(at(Sizes(512, 512)), flipped(at(Sizes(512, 512)))),
    "mean of 512 and 1024": mean_of(at(Sizes(512, 512)), at(Sizes(1024, 512))),
}


class RememberedHints(Hints):
    """Hints that are computed once for every tile that several ways share."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self._known: dict[tuple[object, ...], Tensor] = {}

    @property
    def guesses(self) -> tuple[Guess, ...]:
        return self._hints.guesses

    def __call__(self, image: Tensor, trimap: Tensor) -> Tensor:
        key = (*image.shape, image.double().sum().item(), trimap.double().sum().item())
        if key not in self._known:
            self._known[key] = self._hints(image, trimap)
        return self._known[key]


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


def measured(
    sampler: MattingSampler, megapixels: float, count: int, ways: dict[str, Way]
) -> Iterator[dict[str, float | str]]:
    """Each way's means over the pictures of a size."""
    side = round((megapixels * 1e6) ** 0.5)
    found: dict[str, list[tuple[float, ...]]] = {}
    for number in range(count):
        own, remembering = picture(side, number), replace(sampler, hints=RememberedHints(sampler.hints))
        unknown = unknown_mask(own["trimap"])
        for name, way in ways.items():
            if name == "native, whole" and megapixels > WHOLE_AT_MOST:
                continue
            matte = way(remembering, own["image"], own["trimap"])
            errors = (
                sad(matte.alpha, own["alpha"], unknown),
                foreground_sad(matte.foreground, own["foreground"], own["alpha"], unknown),
            )
            step = seams(sampler, Sizes(None, 256 if "256" in name else 512), matte.alpha - own["alpha"], own["trimap"])
            kilopixels = unknown.sum().item() / 1000
            figures = *(error.item() / kilopixels for error in errors), step
            found.setdefault(name, []).append(figures)
    for name, rows in found.items():
        means = [float(np.nanmean(column)) for column in zip(*rows, strict=True)]
        yield dict(zip(("name", "megapixels", "sad", "foreground", "seams"), (name, megapixels, *means), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="run folder, checkpoint or export; one step")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 4, 12])
    parser.add_argument("--pictures", type=int, nargs="+", default=[4, 2, 1], help="of each size")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sampler = MattingStage.from_checkpoint(arguments.checkpoint).sampler
    ways = {name: WAYS[name] for name in arguments.ways}
    table = Table("megapixels", "the denoiser sees", title="per 1000 unknown pixels")
    for heading in ("SAD", "αF SAD", "seams"):
        table.add_column(heading, justify="right")
    rows = []
    for megapixels, count in zip(arguments.megapixels, arguments.pictures, strict=True):
        for row in measured(sampler, megapixels, count, ways):
            rows.append(row)
            figures = [f"{row[name]:.{digits}f}" for name, digits in (("sad", 1), ("foreground", 1), ("seams", 2))]
            table.add_row(f"{megapixels:g}", str(row["name"]), *figures)
            if arguments.json:
                arguments.json.write_text(json.dumps(rows, indent=1))
    Console().print(table)


if __name__ == "__main__":
    main()
