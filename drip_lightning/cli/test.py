"""`drip test`: measure methods on evaluation shards, and write the tables."""

import argparse
from pathlib import Path

from drip_lightning.cli.parser import OneLineParser, whole_numbers
from drip_lightning.cli.sigterm import ended_by_sigterm
from drip_lightning.cli.size_options import TRAINER_PRECISION, add_size_options, size_changes
from drip_lightning.errors import InputError
from drip_lightning.moved import MOVED_HELP, moved_places

_DESCRIPTION = """\
Measure methods on evaluation shards, all in the same way, and write one table.

METHOD is what makes mattes, or NAME=METHOD to call it NAME in the table:

  runs/transparency     a run folder, whose best or else newest checkpoint is meant, or a checkpoint
  exports/matting       a pipeline folder that `drip export` wrote
  shipped               the trained model that comes with the package
  theirs=FOLDER         mattes that another program wrote, KEY.png for each picture (.tif, .webp): grey, or RGBA with
                        straight foreground colour; or KEY.exr, linear and premultiplied
  mylab.method.Own      the dotted path of a Method of your own, without arguments
  trimap                the trimap as alpha, the image as foreground
  propagated-colours, sampled-colours, closed-form-colours
                        the hints that a decoder may start from, alone
  closed-form, knn, large-kernel
                        classical matting and multilevel foreground estimation, by PyMatting
  true-alpha            the truth as alpha, multilevel foreground estimation: a ceiling for the foreground

Of a stage with a transparency decoder, the plain VAE decoder is measured on the same latents, too.

A single run folder needs no more: its config.yaml names the shards, and the results go to RUN/test, of several
evaluation sets by name to RUN/test/NAME:

  table.md        scores in the field's units, with the protocol, beside published ones, and by kinds of alpha
  per_image.csv   every metric of every picture, raw
  summary.json    means and deviations over seeds, raw, with the protocol
  worst.png       the worst cases: image, trimap, truth, prediction, error
  steps.csv, steps.png   with several --steps: quality and seconds against denoising steps

Interrupted, run it again: what was measured is kept, in DIR/results. A picture that cannot be read is reported and
left out of every row, and the exit status is 1.
"""
_EXAMPLE = """\
examples:
  drip test runs/transparency
  drip test runs/transparency --vae-only
  drip test runs/transparency --steps 1,2,4,10,25,50 --seeds 0,1,2 --out results/steps
  drip test closed-form ours=runs/a vitmatte=their/mattes --data data/aim500 --out results/aim500
  drip test --config configs/transparency.yaml --config configs/scale/sd2.yaml --ckpt_path FILE

The last form configures stage, data and trainer as `drip fit` does (`drip fit --help`), and ends in the same table.
"""


def build_parser() -> argparse.ArgumentParser:
    """The options of `drip test`; imports nothing heavy."""
    parser = OneLineParser(
        prog="drip test",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "methods",
        metavar="METHOD",
        nargs="+",
        help="run folder, checkpoint, pipeline folder, folder of mattes, or baseline by name",
    )
    parser.add_argument("--data", metavar="SHARDS", help="evaluation shards (default: what the run's config.yaml says)")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where results go (default: RUN/test, or RUN/ceiling)")
    parser.add_argument("--set", metavar="NAME", help="what published tables call the data, such as composition1k")
    parser.add_argument("--region", choices=("unknown", "whole"), default="unknown", help="(default: unknown)")
    parser.add_argument(
        "--steps", type=whole_numbers, default=(), metavar="N,…", help="denoising steps; several are compared"
    )
    parser.add_argument(
        "--seeds",
        type=whole_numbers,
        default=(0,),
        metavar="N,…",
        help="means over these, ± their deviation (default: 0)",
    )
    parser.add_argument("--ensemble", type=int, default=1, metavar="K", help="the median of K samples (default: 1)")
    parser.add_argument(
        "--vae-only", action="store_true", help="the ceiling: the truth encoded and decoded, without the denoiser"
    )
    parser.add_argument(
        "--foreground-channels",
        choices=("sum", "mean"),
        default="sum",
        help="errors of the foreground add its three channels, as published ones do, or average them (default: sum)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="measure the set's first N pictures only")
    parser.add_argument("--worst", type=int, metavar="N", help="draw the N worst cases of each row (default: a few)")
    parser.add_argument("--overwrite", action="store_true", help="replace results of another protocol in DIR")
    parser.add_argument("--allow-broken", action="store_true", help="exit with 0 although pictures were left out")
    parser.add_argument("--moved", metavar="OLD=NEW,…", help=MOVED_HELP)
    parser.add_argument("--accelerator", default="auto", help="cpu, gpu …, as Lightning names them (default: auto)")
    parser.add_argument("--devices", type=int, default=1, metavar="N", help="processes, one a device (default: 1)")
    add_size_options(parser)
    return parser


def main(arguments: list[str]) -> int:
    """Run `drip test`.

    Args:
        arguments: What follows `drip test` on the command line.

    Returns:
        0 if every picture was measured, else 1.

    Raises:
        InputError: nothing can be measured at all.
        Stopped: SIGTERM came.
    """
    if any(word.split("=")[0] in ("--config", "--help-all") for word in arguments):
        from drip_lightning.cli import fit

        return fit.main(["test", *arguments])
    options = build_parser().parse_args(arguments)

    from drip_lightning.evaluation.named import evaluation_data, methods_of, run_folder
    from drip_lightning.evaluation.plan import EvaluationPlan
    from drip_lightning.evaluation.run import conclude, evaluate, quiet_trainer

    runs = [folder for word in options.methods if (folder := run_folder(word)) is not None]
    if options.out is None and len(runs) != 1:
        raise InputError("--out is needed: the results of a single run only have a place of their own, RUN/test")
    if options.data is None and not runs:
        raise InputError("--data is needed: a baseline names no evaluation shards")
    plan = EvaluationPlan(
        data="",
        out=options.out or runs[0] / ("ceiling" if options.vae_only else "test"),
        set_name=options.set,
        region=options.region,
        steps=options.steps,
        seeds=options.seeds,
        ensemble=options.ensemble,
        limit=options.limit,
        foreground_channels=options.foreground_channels,
        worst=options.worst,
    )
    moved, changes = moved_places(options.moved), size_changes(options)
    with ended_by_sigterm("test"):
        methods = methods_of(options.methods, vae_only=options.vae_only, moved=moved, changes=changes)
        trainer = quiet_trainer(options.accelerator, options.devices, TRAINER_PRECISION[options.precision])
        sets = {"": options.data} if options.data else evaluation_data(runs[0])
        plans = plan.of_sets(sets)
        reports = [evaluate(methods, one, trainer=trainer, overwrite=options.overwrite) for one in plans]
    for report, one in zip(reports, plans, strict=True):
        conclude(report, one, allow_broken=options.allow_broken)
    return 0
