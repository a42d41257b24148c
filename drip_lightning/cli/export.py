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
  vae/, unet/, scheduler/      as diffusers writes them; unet/ is the joint denoiser
  transparency_decoder/        of a transparency stage
  pipeline.py and others       the code, so that diffusers alone runs it (trust_remote_code=True)
  README.md                    a model card: how it was trained, licence of the base weights, use, limits

Of averaged weights the averages are written; low-rank additions are merged into the U-Net. Loading unpickles nothing.
"""
_EXAMPLE = """\
examples:
  drip export runs/transparency exports/matting
  drip export runs/transparency exports/matting --precision float16
  drip export runs/transparency exports/matting --variant fp16 --push-to-hub me/matting
  drip export runs/denoiser/checkpoints/step=0030000.ckpt exports/denoiser --overwrite
"""

VARIANTS = {"fp16": "float16", "bf16": "bfloat16"}
"""diffusers' names of precisions."""


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
    parser.add_argument(
        "--variant",
        action="append",
        choices=tuple(VARIANTS),
        default=[],
        help="write half precision beside the weights, too, as diffusers names it: NAME.fp16.safetensors; may be given "
        "twice",
    )
    parser.add_argument(
        "--push-to-hub",
        metavar="USER/NAME",
        help="then upload the folder there, which needs `hf auth login`; what is printed names the revision",
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
    from drip_lightning.nn.export_index import is_exported
    from drip_lightning.nn.hub import is_hub_id, prepare_push, push

    out = options.out.absolute()
    check_place(out, overwrite=options.overwrite)
    if is_exported(options.checkpoint) or is_hub_id(options.checkpoint):
        raise InputError(f"{options.checkpoint} is an exported folder already: copy it")
    if options.push_to_hub is not None:
        prepare_push(options.push_to_hub)
    print(f"reading {options.checkpoint}")
    stage = MattingStage.from_checkpoint(options.checkpoint, moved=moved_places(options.moved))
    card = model_card(stage, options.checkpoint, name=out.name)
    dtype = getattr(torch, options.precision)
    variants = {name: getattr(torch, VARIANTS[name]) for name in options.variant}
    settings = {"card": card, "dtype": dtype, "variants": variants, "overwrite": options.overwrite}
    for part in write_pipeline_folder(stage, out, **settings):
        print(f"wrote {part}")
    print(f"{options.out}: weights are {stage.weights}")
    if options.push_to_hub is not None:
        revision = push(out, options.push_to_hub)
        print(f"pushed: drip matte --checkpoint {options.push_to_hub}@{revision}")
    return 0
