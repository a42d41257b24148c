"""`drip export`: a trained stage as one self-contained folder, to keep and to give away."""

import argparse
from pathlib import Path

from drip_lightning.cli.parser import OneLineParser
from drip_lightning.errors import InputError
from drip_lightning.moved import MOVED_HELP, moved_places

_DESCRIPTION = """\
Write a trained denoiser or transparency stage as one self-contained folder in diffusers' format.

CHECKPOINT is a run folder, whose best or else newest checkpoint is meant, or a checkpoint. OUT needs neither the run
nor Stable Diffusion's folder any more; `drip matte --checkpoint OUT` and `drip test OUT` take it like a run:

  model_index.json             the parts, what the stages are, and a SHA-256 of each file
  vae/, unet/, scheduler/      as diffusers writes them (two U-Nets: foreground_unet/ and alpha_unet/)
  prompt_embedding.safetensors
  transparency_decoder.safetensors   of a transparency stage
  README.md                    a model card: how it was trained, licence of the base weights, use, limits

Of averaged weights the averages are written; low-rank additions are merged into the U-Net. Loading unpickles nothing.
"""
_EXAMPLE = """\
examples:
  drip export runs/transparency exports/matting
  drip export runs/transparency exports/matting --precision float16
  drip export runs/denoiser/checkpoints/step=0030000.ckpt exports/denoiser --overwrite
"""


def build_parser() -> argparse.ArgumentParser:
    """The options of `drip export`; imports nothing heavy."""
    parser = OneLineParser(
        prog="drip export",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", type=Path, help="run folder or checkpoint: transparency or denoiser"
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write")
    parser.add_argument(
        "--precision",
        choices=("float32", "float16", "bfloat16"),
        default="float32",
        help="of the weights in the files: half of it halves them (default: float32)",
    )
    parser.add_argument("--moved", metavar="OLD=NEW,…", help=MOVED_HELP)
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    return parser


def main(arguments: list[str]) -> int:
    """Run `drip export`.

    Args:
        arguments: What follows `drip export` on the command line.

    Returns:
        0: the folder is whole.

    Raises:
        InputError: nothing was written.
    """
    options = build_parser().parse_args(arguments)

    import torch

    from drip_lightning.export.folder import check_place, write_pipeline_folder
    from drip_lightning.export.model_card import model_card
    from drip_lightning.lit.matting import MattingStage
    from drip_lightning.nn.pipeline_folder import is_exported

    out = options.out.absolute()
    check_place(out, overwrite=options.overwrite)
    if is_exported(options.checkpoint):
        raise InputError(f"{options.checkpoint} is an exported folder already: copy it")
    print(f"reading {options.checkpoint}")
    stage = MattingStage.from_checkpoint(options.checkpoint, moved=moved_places(options.moved))
    card = model_card(stage, options.checkpoint, name=out.name)
    dtype = getattr(torch, options.precision)
    for part in write_pipeline_folder(stage, out, card=card, dtype=dtype, overwrite=options.overwrite):
        print(f"wrote {part}")
    print(f"{options.out}: weights are {stage.weights}")
    return 0
