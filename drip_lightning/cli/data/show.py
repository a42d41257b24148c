"""`drip data show`: draw training samples again from the configuration and their numbers."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drip_lightning.cli.parser import OneLineParser
from drip_lightning.errors import InputError

if TYPE_CHECKING:
    from drip_lightning.lit.datamodule import MattingDataModule

_DESCRIPTION = """\
Draw training samples again: image, trimap, alpha, foreground (padded), and the cut-out on a checkerboard, a row each.

A sample depends on the configuration and its number alone, so this is exactly what a run was trained on. Say which
configuration by a run's config.yaml, by configurations as `drip fit` takes them, or by folders of shards, for which
all else is the default:

  SHARDS                     a folder that holds foregrounds/ and backgrounds/, as `drip synth` makes it
  FOREGROUNDS BACKGROUNDS    two folders of shards, or their URLs
"""
_EXAMPLE = """\
examples:
  drip data show --config runs/denoiser/config.yaml --sample 1234
  drip data show --config configs/denoiser.yaml --config configs/scale/small.yaml --data.seed 7 --grid
  drip data show data/synth --size 320 --grid --out docs/batch.jpg
"""
_GRID_TILE = 224


def build_parser() -> argparse.ArgumentParser:
    """The options of `drip data show`; imports nothing heavy."""
    parser = OneLineParser(
        prog="drip data show",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shards", metavar="SHARDS", nargs="*", help="folders of shards, where there is no --config")
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help="as for `drip fit`; may repeat")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="number of the sample (default: 0)")
    parser.add_argument("--grid", action="store_true", help="a batch of smaller rows, from that sample on")
    parser.add_argument("--count", type=int, default=8, metavar="N", help="samples in a grid (default: 8)")
    parser.add_argument("--size", type=int, metavar="N", help="side of the pictures (default: the configuration's)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="picture to write (default: sample-N.png, grid-N.png)")
    return parser


def main(arguments: list[str]) -> int:
    """Run `drip data show`.

    Args:
        arguments: What follows `drip data show` on the command line.

    Returns:
        0, the exit status.

    Raises:
        InputError: the arguments are impossible, or there are no such shards.
    """
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    strange = [word for word in rest if word.startswith("-") and not word.startswith("--data.")]
    if strange or (rest and not options.config):
        parser.error(f"unknown option {(strange or rest)[0]}")
    if options.sample < 0 or options.count < 1:
        raise InputError(f"--sample, --count: expected 0 and 1 or more, got {options.sample} and {options.count}")
    out = options.out or Path(f"{'grid' if options.grid else 'sample'}-{options.sample}.png")

    import torch
    from PIL import Image

    from drip_lightning.ops.panel import matte_panel
    from drip_lightning.ops.picture import as_picture

    if out.suffix.lower() not in Image.registered_extensions():
        raise InputError(f"--out {out}: expected a name that ends in .png or .jpg")
    data = _configured(options.config, rest) if options.config else _default(options.shards)
    if options.size is not None:
        data.image_size = options.size
    numbers = range(options.sample, options.sample + (options.count if options.grid else 1))
    batch = data.samples(numbers)
    rows = matte_panel(batch["image"], batch["trimap"], batch["alpha"], batch["foreground"])
    picture = as_picture(torch.cat(list(rows), dim=-2))
    if options.grid and data.image_size > _GRID_TILE:
        scale = _GRID_TILE / data.image_size
        size = (round(picture.width * scale), round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.save(out)
    for number, key in zip(batch["number"], batch["key"], strict=True):
        print(f"{number:8d}  {key}")
    print(out)
    return 0


def _configured(configs: list[str], more: list[str]) -> "MattingDataModule":
    """The data of a configuration."""
    import yaml
    from jsonargparse import ArgumentParser

    from drip_lightning.cli.configuration import FitConfigurations
    from drip_lightning.lit.datamodule import MattingDataModule

    arguments = [f"--config={config}" for config in configs]
    resolved: dict[str, Any] = yaml.safe_load(FitConfigurations()([*arguments, *more]))
    # linked arguments are left out of a resolved configuration
    section = resolved["data"]
    section["init_args"] |= {"seed": resolved["seed_everything"], "evaluation": None}
    parser = ArgumentParser()
    parser.add_subclass_arguments(MattingDataModule, "data")
    data: MattingDataModule = parser.instantiate_classes(parser.parse_object({"data": section})).data
    return data


def _default(shards: list[str]) -> "MattingDataModule":
    """The default's data, from these folders."""
    from drip_lightning.lit.datamodule import MattingDataModule

    if len(shards) == 1:
        shards = [f"{shards[0].rstrip('/')}/{name}" for name in ("foregrounds", "backgrounds")]
    if len(shards) != 2:
        raise InputError("name a folder of shards, or one of foregrounds and one of backgrounds, or a --config")
    return MattingDataModule(foregrounds=shards[0], backgrounds=shards[1])
