"""`drip matte`: cut objects out of pictures with a trained checkpoint."""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drip_lightning import lean
from drip_lightning.cli.auto_mask import AutoMask
from drip_lightning.cli.matte_model import MatteModel, is_export, told_memory
from drip_lightning.cli.matte_options import build_parser
from drip_lightning.data.matte_jobs import MatteJob, find_jobs
from drip_lightning.errors import InputError, RunError, raised_as

if TYPE_CHECKING:
    import torch

    from drip_lightning.cli.results import Results
    from drip_lightning.nn.sampler import Matte, Progress

_STREAM_FOLDER = "drip-standard-input-"


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
    if not options.mask and (options.band is not None or options.invert_mask):
        raise InputError("--band and --invert-mask belong to --mask: a trimap says itself what is unknown")
    is_auto = isinstance(options.mask, AutoMask)
    if is_auto and options.invert_mask:
        raise InputError("--invert-mask belongs to a mask of your own, not to --mask auto")
    if is_auto and options.out == Path("-"):
        raise InputError("--mask auto writes its trimap beside the result: name a file or folder as --out")
    options.band = 15 if options.band is None else options.band
    if (options.steps is not None and options.steps < 1) or options.band < 0 or options.seed < 0:
        raise InputError("--steps must be at least 1, --band and --seed not negative")

    if is_export(options):
        lean.import_diffusers()  # before anything else does
    from drip_lightning.cli.results import STREAM, Results, panel_path, trimap_path

    results = Results.of(options)
    with _without_streams(options.pictures) as pictures:
        found = find_jobs(
            pictures,
            None if is_auto else options.trimap or options.mask,
            results.out,
            guide_ending="_mask" if options.mask else "_trimap",
            made=trimap_path if is_auto else None,
            recursive=options.recursive,
            suffix=results.suffix,
            result=results.file,
        )
        for problem in found.problems:
            _complain(problem.reason)
            if options.json:
                _print_json(picture=_named(str(problem.picture)), error=_named(problem.reason))
        if found.ignored:
            others = ", ".join(f"{count} {suffix}" for suffix, count in sorted(found.ignored.items()))
            _complain(f"left out, as no pictures: {others}")
        is_kept = results.out != STREAM and not options.overwrite
        kept = [job for job in found.jobs if is_kept and job.result.exists()]
        waiting = [job for job in found.jobs if job not in kept]
        _tell_kept(kept, options)
        without_panel = [job for job in kept if options.panel and not panel_path(job.result).exists()]
        failed = _draw_panels(without_panel, options) if without_panel else 0
        failed += _matte_all(waiting, results, options) if waiting else 0
    return 1 if failed or found.problems else 0


@contextmanager
def _without_streams(pictures: Sequence[Path]) -> Iterator[list[Path]]:
    """The pictures, what comes from standard input as a file."""
    with tempfile.TemporaryDirectory(prefix=_STREAM_FOLDER) as folder:
        stream = Path(folder, "standard input")
        if Path("-") in pictures:
            stream.write_bytes(sys.stdin.buffer.read())
        yield [stream if picture == Path("-") else picture for picture in pictures]


def _named(text: str) -> str:
    """What is said, without the folder in which standard input waits: `standard input` is left."""
    return re.sub(rf"{re.escape(tempfile.gettempdir())}/{_STREAM_FOLDER}\w+/", "", text)


def _complain(reason: str) -> None:
    print(f"drip matte: {_named(reason)}", file=sys.stderr)


def _tell_kept(kept: Sequence[MatteJob], options: argparse.Namespace) -> None:
    if options.json:
        for job in kept:
            _tell(job, options, kept=True)
    elif kept:
        print(f"kept {len(kept)} results that exist (--overwrite makes them again)")


def _tell(job: MatteJob, options: argparse.Namespace, **facts: Any) -> None:
    """Say on standard output what there is now; nothing where the picture itself went there."""
    if options.json:
        _print_json(picture=_named(str(job.picture)), guide=str(job.guide), result=str(job.result), **facts)
    elif job.result != Path("-"):
        print(job.result)


def _print_json(**facts: Any) -> None:
    print(json.dumps(facts, ensure_ascii=False), flush=True)


def _matte_all(jobs: Sequence[MatteJob], results: "Results", options: argparse.Namespace) -> int:
    """Matte them all; how many failed."""
    folder = results.folder
    with raised_as(InputError, OSError, message=lambda why: f"cannot make the folder --out {folder} ({why})"):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"--out {folder} cannot be written to: choose another folder")
    model = MatteModel.of(options, prog="drip matte")
    options.steps = options.steps or model.sampling_steps
    if options.steps > model.most_steps:
        raise InputError(f"--steps must be at most {model.most_steps}, got {options.steps}")
    auto = options.mask.maker(options.band) if isinstance(options.mask, AutoMask) else None

    def work(job: MatteJob, tell: "Progress") -> dict[str, Any]:
        if auto is not None:
            auto.write_trimap(job)
        return _matte_one(job, model, results, options, tell)

    return _each(jobs, options, model.device, work)


def _each(
    jobs: Sequence[MatteJob],
    options: argparse.Namespace,
    device: "torch.device | str",
    work: Callable[[MatteJob, "Progress"], dict[str, Any]],
) -> int:
    """Work on one after another, and tell what came of each; how many failed."""
    from drip_lightning.cli.progress import parts_bar, progress_bar

    failed = 0
    with progress_bar() as progress:
        for job in progress.track(jobs, description="matting"):
            try:
                with told_memory(str(job.picture), device), parts_bar(progress, job.picture.name) as tell:
                    facts = work(job, tell)
            except InputError as error:
                reason = str(error)
            else:
                _tell(job, options, **facts)
                continue
            failed += 1
            _complain(reason)
            if options.json:
                _tell(job, options, error=_named(reason))
    return failed


def _matte_one(
    job: MatteJob,
    model: MatteModel,
    results: "Results",
    options: argparse.Namespace,
    progress: "Progress",
) -> dict[str, Any]:
    """Write a picture's result; what a script may want to know of it."""
    from drip_lightning.cli.results import panel_path, write_panel
    from drip_lightning.data.matte_inputs import find_frames, read_inputs
    from drip_lightning.ops.trimap import unknown_mask

    start = time.perf_counter()
    model.require_memory(job.picture)
    frames, places = find_frames(job)
    results.require_frames(job.result, frames, name=str(job.picture))
    pages, shares = [], []
    panels: list[tuple[torch.Tensor, torch.Tensor, Matte]] = []  # of the first alone
    for place in places:
        image, trimap = read_inputs(job, place=place, **_guide_options(options))
        matte = model.matte(image, trimap, steps=options.steps, seed=options.seed, progress=progress)
        shares.append(unknown_mask(trimap).float().mean().item())
        pages += [results.page(matte, image)] if len(places) > 1 else []
        panels += [(image, trimap, matte)] if options.panel and not panels else []
    advice = "free some space or choose another --out, and run it again: results that exist are kept"
    with raised_as(RunError, OSError, message=lambda why: f"cannot write {job.result} ({why}): {advice}"):
        job.result.parent.mkdir(parents=True, exist_ok=True)
        if pages:
            results.write_frames(job.result, pages, frames, picture=job.picture)
        else:
            results.write(job.result, matte, image, picture=job.picture)
        for panel in panels:
            write_panel(panel_path(job.result), *panel)
    return {
        "width": image.shape[-1],
        "height": image.shape[-2],
        "unknown_share": round(sum(shares) / len(shares), 4),
        "seconds": round(time.perf_counter() - start, 3),
        **({"panel": str(panel_path(job.result))} if options.panel else {}),
    }


def _draw_panels(jobs: Sequence[MatteJob], options: argparse.Namespace) -> int:
    """Draw the panels that are missing of results that are kept, of several frames the first; how many failed."""
    from drip_lightning.cli.results import panel_path, write_panel
    from drip_lightning.data.matte_inputs import find_frames, read_inputs
    from drip_lightning.evaluation.predictions import read_matte

    def draw(job: MatteJob, progress: "Progress") -> dict[str, Any]:
        _, places = find_frames(job)
        image, trimap = read_inputs(job, place=places[0], **_guide_options(options))
        matte = read_matte(job.result, image=image, frame=0 if len(places) > 1 else None)
        write_panel(panel_path(job.result), image, trimap, matte)
        return {"kept": True, "panel": str(panel_path(job.result))}

    return _each(jobs, options, "cpu", draw)


def _guide_options(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "band": options.band if isinstance(options.mask, Path) else None,
        "guide_lies": "upright" if isinstance(options.mask, AutoMask) else options.trimap_orientation,
        "inverted": options.invert_mask,
    }
