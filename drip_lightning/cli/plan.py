"""`drip plan`: what a training will cost, before it runs."""

import argparse
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from drip_lightning.cli.parser import OneLineParser
from drip_lightning.errors import InputError

if TYPE_CHECKING:
    from drip_lightning.cost.run import RunCost

_DESCRIPTION = """\
Tell what `drip fit` with the same configuration will cost: nothing is loaded or computed, and no data, weights, network
or GPU are needed.

The step's own code runs on tensors without content. Operations are multiplications and additions of convolutions and
matrix products. Memory is what the tensors of one rank take at the moment when they are most; libraries' scratch memory
is not in it, and of a card 1 GiB is left for driver and allocator. A transparency stage whose denoiser is not trained
yet is counted with one as `configs/denoiser.yaml` has it, on the same networks.
"""
_EXAMPLE = """\
examples:
  drip plan --config denoiser.yaml --config scale/sd2.yaml --card 80GB --tflops 120
  drip plan --config denoiser.yaml --config scale/sd2.yaml --config hardware/gpu24.yaml --card 24GB
  drip plan --config transparency.yaml --config scale/small.yaml --data.batch_size 4
"""
_GIB = 2**30
_CARD = re.compile(r"(\d+(?:\.\d+)?)\s*(?:G|GB|GiB)?", re.IGNORECASE)


def build_parser() -> argparse.ArgumentParser:
    """The options of `drip plan` itself; all others are those of `drip fit`. Imports nothing heavy."""
    parser = OneLineParser(
        prog="drip plan",
        usage="drip plan --config FILE [--config FILE …] [--KEY VALUE …] [--card 80GB] [--tflops N] [--ranks N]",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--card", type=_card, metavar="80GB", help="a GPU's memory: refuse a batch that does not fit")
    parser.add_argument(
        "--tflops",
        type=_positive,
        metavar="N",
        help="TFLOP/s that a device reaches: tell hours (of its peak, say a third)",
    )
    parser.add_argument(
        "--ranks", type=int, metavar="N", help="devices in all (default: trainer.devices × num_nodes, 1 for auto)"
    )
    return parser


def main(arguments: list[str]) -> int:
    """Run `drip plan`.

    Args:
        arguments: What follows `drip plan` on the command line.

    Returns:
        0: the plan is told.

    Raises:
        InputError: the configuration cannot be, or a batch does not fit the card.
    """
    parser = build_parser()
    options, settings = parser.parse_known_args(arguments)
    if not settings:
        parser.error("give the configuration of a run, as `drip fit` takes it")
    if options.ranks is not None and options.ranks < 1:
        parser.error(f"--ranks: expected at least 1, got {options.ranks}")

    from drip_lightning.cli.configuration import FitConfigurations
    from drip_lightning.cost.run import TrainerPlan, cost_of

    run = FitConfigurations().instantiate(settings)
    cost = cost_of(run.model, run.data, TrainerPlan.of(run.trainer, ranks=options.ranks))
    print("\n".join(_lines(type(run.model).__name__, cost, options.tflops)))
    if options.card is not None:
        _check_fits(cost, options.card, recomputes=getattr(run.model, "gradient_checkpointing", True))
    return 0


def _check_fits(cost: "RunCost", card: float, *, recomputes: bool) -> None:
    """Say that a batch fits.

    Args:
        cost: Of the run.
        card: Gigabytes.
        recomputes: Whether activations are, or cannot be.

    Raises:
        InputError: it does not.
    """
    fitting, batch = cost.fitting_batch(int(card * _GIB)), cost.batch
    if fitting >= batch:
        print(f"fits a card of {card:g} GB, with up to about {fitting} samples at a time")
        return
    less = f"about {fitting} would" if fitting else "not even one would"
    remedies = {
        "accumulate more batches (trainer.accumulate_grad_batches)": batch > 1,
        "recompute activations (model.gradient_checkpointing)": not recomputes,
        "share weights (configs/hardware/fsdp.yaml)": not cost.trainer.sharded,
        "train on smaller pictures (data.image_size)": True,
    }
    raise InputError(
        f"{batch} {'samples' if batch > 1 else 'sample'} at a time {'do' if batch > 1 else 'does'} not fit a card of "
        f"{card:g} GB, {less}: {' or '.join(remedy for remedy, is_left in remedies.items() if is_left)}"
    )


def _lines(stage: str, cost: "RunCost", tflops: float | None) -> Iterator[str]:
    trainer, step = cost.trainer, cost.step
    yield f"{stage}: {cost.trained / 1e6:,.1f} M weights trained, {cost.frozen / 1e6:,.1f} M frozen"
    shared = f"{trainer.ranks} rank{'s' * (trainer.ranks > 1)} × {trainer.accumulated} × {cost.batch}"
    yield f"a step: {cost.samples} samples of {cost.size}×{cost.size} ({shared}), {trainer.precision}"
    yield ""
    yield "operations of a sample, TFLOP"
    for part, operations in step.operations.items():
        yield f"  {part:<22} {operations / 1e12:>9.3f}"
    yield f"  {'together':<22} {step.total / 1e12:>9.3f}"
    yield ""
    yield "memory of a rank, GiB"
    for name, size in cost.memory.items():
        if size:
            yield f"  {_MEMORY.get(name, name).format(batch=cost.batch):<22} {size / _GIB:>9.2f}"
    yield f"  {'together':<22} {cost.peak_bytes / _GIB:>9.2f}"
    yield f"  activations kept for the backward pass, a sample: {step.kept_bytes / cost.batch / _GIB:.3f}"
    yield ""
    parts = " + ".join(f"{name} {size / 1e9:.2f}" for name, size in cost.checkpoint.items() if size)
    yield f"a checkpoint, GB: {sum(cost.checkpoint.values()) / 1e9:.2f} = {parts}"
    yield ""
    samples = trainer.steps * cost.samples
    yield f"the run: {trainer.steps:,} steps, {samples:,} samples, {_exa(cost.training_operations)}"
    yield _validation(cost)
    if tflops is not None:
        yield f"hours at {tflops:g} TFLOP/s a device: {cost.hours(tflops):.1f}"


_MEMORY = {"batch": "batch of {batch}, at most"}


def _validation(cost: "RunCost") -> str:
    if cost.pictures is None:
        return "validation: not counted, for data.evaluation is not there yet"
    operations = cost.validation_operations
    share = operations / ((operations + cost.training_operations) or 1)
    return (
        f"validation: {cost.trainer.validations} × {cost.pictures} pictures, as of {cost.size}×{cost.size}, "
        f"{_exa(operations)}: {share:.1%} of all"
    )


def _exa(operations: float) -> str:
    return f"{operations / 1e18:.4g} EFLOP"


def _card(text: str) -> float:
    match = _CARD.fullmatch(text.strip())
    if not match:
        raise argparse.ArgumentTypeError(f"expected a GPU's memory such as 80GB, got {text!r}")
    return float(match[1])


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value
