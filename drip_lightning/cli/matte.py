"""`drip matte`: cut objects out of pictures with a trained checkpoint."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drip_lightning.cli.parser import OneLineParser
from drip_lightning.cli.size_options import add_size_options, in_precision, set_sizes
from drip_lightning.data.matte_jobs import MatteJob, find_jobs
from drip_lightning.errors import InputError, RunError, raised_as
from drip_lightning.shipped import shipped_model

if TYPE_CHECKING:
    import torch

    from drip_lightning.pipeline import MattingPipeline, Progress

_DESCRIPTION = """\
Cut objects out of pictures: for each PICTURE an RGBA PNG with straight (not premultiplied) colour, of the same size.

A trimap says what is known: black background, white foreground, anything between is to be found out. A rough mask
(object above mid-grey) will do: a band around its outline becomes the unknown part. Where a picture is transparent
itself (alpha 0), the result is, too.

PICTURE, --trimap and --mask may be folders: the trimap of sub/a.jpg is sub/a.png or sub/a_trimap.png, of whatever
suffix (a mask: sub/a_mask.png), and its result OUT/sub/a.png. Of a.jpg beside a.webp, a.jpg.png and a.webp.png.
Results that exist are kept. A picture that fails is reported, the rest are made, and the exit status is 1.
"""
_EXAMPLE = """\
examples:
  drip matte portrait.jpg --trimap portrait_trimap.png --checkpoint runs/transparency --out cutouts
  drip matte photos/ --mask masks/ --band 20 --checkpoint runs/transparency --out cutouts --panel
"""


def build_parser() -> argparse.ArgumentParser:
    """The options of `drip matte`; imports nothing heavy."""
    parser = OneLineParser(
        prog="drip matte",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pictures", metavar="PICTURE", nargs="+", type=Path, help="picture, or folder of pictures")
    guide = parser.add_mutually_exclusive_group(required=True)
    guide.add_argument("--trimap", metavar="T", type=Path, help="trimap, or folder of equally named trimaps")
    guide.add_argument("--mask", metavar="M", type=Path, help="rough mask, or folder of equally named masks")
    parser.add_argument("--band", type=int, metavar="PIXELS", help="with --mask: half the unknown band (default: 15)")
    parser.add_argument(
        "--trimap-orientation",
        choices=("upright", "raw"),
        help="how trimap or mask lie of a picture that its EXIF rotates: as it is seen, or as it lies in the file "
        "(default: what the sizes say)",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="C",
        type=Path,
        help="checkpoint, run folder (its best checkpoint if it keeps one, else its newest) or exported folder: "
        "transparency or denoiser (default: the model that comes with the package)",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="where results go, made if missing")
    parser.add_argument(
        "--no-recursive", dest="recursive", action="store_false", help="leave out the folders in folders of pictures"
    )
    parser.add_argument("--panel", action="store_true", help="also write NAME.panel.jpg: input and result side by side")
    parser.add_argument("--steps", type=int, metavar="N", help="denoising steps (default: the checkpoint's)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed starts from other noise")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1 …; auto takes a GPU if there is one")
    add_size_options(parser)
    parser.add_argument("--overwrite", action="store_true", help="make results that exist again")
    return parser


def main(arguments: list[str]) -> int:
    """Run `drip matte`.

    Args:
        arguments: What follows `drip matte` on the command line.

    Returns:
        0 if every picture has its result, else 1.

    Raises:
        InputError: nothing can be done at all: no picture, no trimap, no model.
    """
    options = build_parser().parse_args(arguments)
    if options.band is not None and options.trimap:
        raise InputError("--band belongs to --mask: a trimap says itself what is unknown")
    options.band = 15 if options.band is None else options.band
    if (options.steps is not None and options.steps < 1) or options.band < 0 or options.seed < 0:
        raise InputError("--steps must be at least 1, --band and --seed not negative")
    found = find_jobs(
        options.pictures,
        options.trimap or options.mask,
        options.out,
        guide_ending="_trimap" if options.trimap else "_mask",
        recursive=options.recursive,
    )
    if options.checkpoint is None:
        options.checkpoint = shipped_model()
        print(f"drip matte: no --checkpoint, so the model in {options.checkpoint} is used", file=sys.stderr)
    for problem in found.problems:
        print(f"drip matte: {problem}", file=sys.stderr)
    if found.ignored:
        others = ", ".join(f"{count} {suffix}" for suffix, count in sorted(found.ignored.items()))
        print(f"drip matte: left out, as no pictures: {others}", file=sys.stderr)
    waiting = [job for job in found.jobs if options.overwrite or not job.result.exists()]
    if len(waiting) < len(found.jobs):
        print(f"kept {len(found.jobs) - len(waiting)} results that exist (--overwrite makes them again)")
    failed = _matte_all(waiting, options) if waiting else 0
    return 1 if failed or found.problems else 0


def _matte_all(jobs: Sequence[MatteJob], options: argparse.Namespace) -> int:
    """Matte them all; how many failed."""
    from drip_lightning.cli.progress import parts_bar, progress_bar
    from drip_lightning.lit.matting import MattingStage
    from drip_lightning.ops.memory import is_out_of_memory

    with raised_as(InputError, OSError, message=lambda why: f"cannot make the folder --out {options.out} ({why})"):
        options.out.mkdir(parents=True, exist_ok=True)
    if not os.access(options.out, os.W_OK | os.X_OK):
        raise InputError(f"--out {options.out} cannot be written to: choose another folder")
    device = _usable_device(options.device)
    stage = MattingStage.from_checkpoint(options.checkpoint).to(device)
    set_sizes(stage, options)
    pipeline, options.steps = stage.pipeline, options.steps or stage.sampling_steps
    if options.steps > pipeline.schedule.num_train_timesteps:
        raise InputError(f"--steps must be at most {pipeline.schedule.num_train_timesteps}, got {options.steps}")
    failed = 0
    with progress_bar() as progress:
        for job in progress.track(jobs, description="matting"):
            try:
                with parts_bar(progress, job.picture.name) as tell, in_precision(options, device):
                    _matte_one(job, pipeline, options, tell)
            except InputError as error:
                failed += 1
                print(f"drip matte: {error}", file=sys.stderr)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                failed += 1
                advice = "make it smaller" if device.type == "cpu" else "try --device cpu"
                print(f"drip matte: {job.picture} is too big for the memory of {device}: {advice}", file=sys.stderr)
            else:
                print(job.result)
    return failed


def _usable_device(name: str) -> "torch.device":
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    with raised_as(
        InputError, RuntimeError, AssertionError, message=lambda why: f"--device {name} cannot be used here ({why})"
    ):
        return torch.empty(0, device=device).device


def _matte_one(job: MatteJob, pipeline: "MattingPipeline", options: argparse.Namespace, progress: "Progress") -> None:
    from drip_lightning.cli.results import panel_path, write_panel, write_result
    from drip_lightning.data.matte_inputs import read_inputs
    from drip_lightning.ops.randomness import sample_generator

    image, trimap = read_inputs(job, band=options.band if options.mask else None, guide_lies=options.trimap_orientation)
    device = pipeline.codec.vae.device
    matte = pipeline(
        image.to(device),
        trimap.to(device),
        steps=options.steps,
        generators=[sample_generator(options.seed, 0, "sampling")],
        progress=progress,
    )
    advice = "free some space or choose another --out, and run it again: results that exist are kept"
    with raised_as(RunError, OSError, message=lambda why: f"cannot write {job.result} ({why}): {advice}"):
        job.result.parent.mkdir(parents=True, exist_ok=True)
        write_result(job.result, matte)
        if options.panel:
            write_panel(panel_path(job.result), image, trimap, matte)
