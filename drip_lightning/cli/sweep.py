"""`drip sweep FILE`: ablations × seeds → runs → one table."""

import argparse
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drip_lightning.cli.environment import settings_of_environment
from drip_lightning.cli.parser import OneLineParser, whole_numbers
from drip_lightning.errors import InputError
from drip_lightning.shipped import find_config

if TYPE_CHECKING:
    from drip_lightning.sweep.launcher import Launcher
    from drip_lightning.sweep.plan import SweepPlan
    from drip_lightning.sweep.schedule import SweepProgress

_DESCRIPTION = """\
Train and test every combination of a sweep file's factors with every seed, and compare them in one table.

A stage that several runs share, such as one denoiser under three decoders, is trained once. Everything lands in --out:

  stages/   one run folder for each different training and test, with its log.txt
  runs/     each run as links to its stages, and its factors for TensorBoard: tensorboard --logdir OUT/runs
  report/   what `drip report OUT` makes: tables (Markdown, CSV, LaTeX), curves, a grid of pictures

Interrupted, run it again: what is finished is kept, what was broken off resumes, and what failed is tried again. A
stage that fails stops what builds on it and nothing else; the exit status is then 1.
"""
_EXAMPLE = """\
examples:
  drip sweep configs/sweep/parts.yaml --dry-run
  drip sweep configs/sweep/parts.yaml --scale tiny --jobs 2
  drip sweep configs/sweep/decoder.yaml --launcher slurm --slurm partition=gpu --slurm gpus_per_node=1
"""


def build_parser() -> argparse.ArgumentParser:
    """The options of `drip sweep`; imports nothing heavy."""
    parser = OneLineParser(
        prog="drip sweep",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        type=_config,
        help="a file, or a shipped sweep by name, such as sweep/parts.yaml",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder of the sweep (default: runs/sweep/FILE-SCALE)")
    parser.add_argument("--scale", metavar="NAME", help="tiny or small, in place of the file's scale")
    parser.add_argument("--seeds", type=whole_numbers, metavar="N,N,…", help="seeds in place of the file's")
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=find_config,
        action="append",
        default=[],
        help="an overlay for every stage, such as configs/hardware/gpu.yaml; may be repeated",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the runs, their overlays and all steps; do nothing"
    )
    parser.add_argument("--print-run", metavar="N", type=int, help="print the whole configuration of run N; do nothing")
    parser.add_argument(
        "--launcher", choices=("local", "slurm"), default="local", help="where stages run (default: %(default)s)"
    )
    parser.add_argument(
        "--jobs", metavar="K", type=int, help="stages at a time, as memory allows (default: 1, or 16 under slurm)"
    )
    parser.add_argument(
        "--slurm",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="what each job asks for, such as partition=gpu, time=240 (minutes), gpus_per_node=1; may be repeated",
    )
    return parser


def main(arguments: list[str]) -> int:
    """Run `drip sweep`.

    Args:
        arguments: What follows `drip sweep` on the command line.

    Returns:
        The exit status: 0 if every run is finished, 1 if some failed.

    Raises:
        InputError: the sweep contradicts itself, names what is not there, or memory is short.
    """
    options = build_parser().parse_args(arguments)
    if set_outside := settings_of_environment("fit"):
        raise InputError(
            f"{', '.join(set_outside)} in the environment would change every training of the sweep, factors included: "
            "unset it, and lay a file over all stages with --config"
        )

    from rich.console import Console

    from drip_lightning.cli.configuration import FitConfigurations
    from drip_lightning.report.tables import columns
    from drip_lightning.sweep.describe import describe_plan, describe_run
    from drip_lightning.sweep.plan import make_plan
    from drip_lightning.sweep.settings import read_sweep

    settings = read_sweep(options.file, scale=options.scale, seeds=options.seeds)
    with Console(stderr=True).status("reading configurations"):
        plan = make_plan(settings, FitConfigurations(), overlays=options.config)
    columns(plan.metrics)  # refuses what cannot be shown, before hours are spent on it
    folder = options.out or Path("runs") / "sweep" / f"{options.file.stem}-{settings.scale}"
    if options.print_run is not None:
        print(describe_run(plan, options.print_run, folder / "stages"))
    elif options.dry_run:
        print(describe_plan(plan))
    else:
        return _run(plan, folder, options)
    return 0


def _run(plan: "SweepPlan", folder: Path, options: argparse.Namespace) -> int:
    from rich.console import Console

    from drip_lightning.cli.main import run
    from drip_lightning.sweep.display import SweepDisplay
    from drip_lightning.sweep.run_folder import RunFolders
    from drip_lightning.sweep.schedule import run_plan

    jobs = options.jobs or (16 if options.launcher == "slurm" else 1)
    launcher = _launcher(options, folder, jobs)
    plan.save(folder)
    runs = RunFolders(plan, folder)
    signal.signal(signal.SIGTERM, _interrupt)
    stages = folder / "stages"
    with SweepDisplay(plan, stages, at_once=jobs, console=Console()) as display:
        progress = run_plan(plan, stages, launcher, run, show=display, on_finished=runs.stage_finished)
    _tell_failures(progress, stages)
    finished = runs.finished()
    if finished:
        from drip_lightning.report.report import write_report

        print(write_report(folder))
    print(f"{len(finished)} of {len(plan.runs)} runs are finished; TensorBoard: tensorboard --logdir {folder / 'runs'}")
    return 0 if len(finished) == len(plan.runs) else 1


def _launcher(options: argparse.Namespace, folder: Path, jobs: int) -> "Launcher":
    if options.launcher == "slurm":
        from drip_lightning.sweep.slurm import SlurmLauncher

        return SlurmLauncher(folder / "slurm", parameters=_assignments(options.slurm), at_once=jobs)
    from drip_lightning.cli.main import run
    from drip_lightning.sweep.local import LocalLauncher

    return LocalLauncher(run, at_once=jobs, preload=("drip_lightning.cli.lightning_cli",))


def _tell_failures(progress: "SweepProgress", stages: Path) -> None:
    """The last lines of every stage that failed."""
    from drip_lightning.sweep.stage_folder import StageFolder

    for key, reason in progress.reasons.items():
        folder = StageFolder(stages / key)
        print(f"\n{key} failed ({reason}); the end of {folder.log}:")
        print("\n".join(f"    {line}" for line in folder.last_lines()))


def _interrupt(signum: int, frame: Any) -> None:
    """SIGTERM: leave as Ctrl-C does, stages saved."""
    raise SystemExit(128 + signum)


def _assignments(texts: list[str]) -> dict[str, int | str]:
    given: dict[str, int | str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--slurm: expected KEY=VALUE, got {text!r}")
        given[key] = int(value) if value.isdigit() else value
    return given


def _config(name: str) -> Path:
    return Path(find_config(name))
