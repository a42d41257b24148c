"""`drip data cache-latents OUT`: run the frozen denoiser once, for many trainings of the transparency decoder."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from drip_lightning.cli.parser import OneLineParser
from drip_lightning.errors import InputError

if TYPE_CHECKING:
    from drip_lightning.cli.lightning_cli import DripCLI
    from drip_lightning.lit.transparency import TransparencyDecoder

_DESCRIPTION = """\
Sample the latents that the transparency decoder trains on, and write them to shards: KEY.latents.npy, float32
(2, C, h, w), foreground first, for the training samples 0, 1, … in order.

Everything but OUT and the options below describes the training run, as for `drip fit`. That run then reads them with
--config configs/ablation/cached_latents.yaml --model.latents.init_args.folder OUT, and takes the same steps as one that
runs the denoiser live: bit for bit where both sample the same batches. The denoiser, the data, the seeds and the
augmentation must be those of the run, and are checked. At 512×512 a sample takes 128 KiB.

Interrupted, run it again: finished shards are kept.
"""
_EXAMPLE = """\
example, for 1000 steps of 8 samples:
  drip data cache-latents data/latents --samples 8000 \\
    --config configs/transparency.yaml --config configs/scale/small.yaml
"""


def build_parser() -> argparse.ArgumentParser:
    """The options of `drip data cache-latents`; imports nothing heavy."""
    parser = OneLineParser(
        prog="drip data cache-latents",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="drip data cache-latents OUT --samples N --config FILE [--config FILE …] [--KEY VALUE …]",
        allow_abbrev=False,
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write into, made if missing")
    parser.add_argument("--samples", type=int, required=True, metavar="N", help="steps times samples a step")
    return parser


def main(arguments: list[str]) -> int:
    """Run `drip data cache-latents`.

    Args:
        arguments: What follows `drip data cache-latents` on the command line.

    Returns:
        0, the exit status.

    Raises:
        InputError: the configuration is not of the transparency stage, or the folder is of another run.
    """
    options, run = build_parser().parse_known_args(arguments)
    if options.samples < 1:
        raise InputError(f"--samples: expected at least 1, got {options.samples}")

    from drip_lightning.cli.lightning_cli import configured
    from drip_lightning.lit.transparency import TransparencyDecoder

    cli = configured([*run, "--trainer.devices=1", "--trainer.num_nodes=1", "--trainer.strategy=auto"])
    if not isinstance(cli.model, TransparencyDecoder):
        raise InputError(f"the stage {type(cli.model).__name__} trains on no latents: begin with transparency.yaml")
    _cache(cli, cli.model, options.out, options.samples)
    return 0


def _cache(cli: "DripCLI", stage: "TransparencyDecoder", out: Path, samples: int) -> None:
    from drip_lightning.cli.progress import progress_bar
    from drip_lightning.data.shards.writer import ShardWriter
    from drip_lightning.lit.latent_source import encode_latents

    data, trainer = cli.datamodule, cli.trainer
    stage.configure_model()
    stage = stage.to(trainer.strategy.root_device).eval()
    data.trainer = trainer
    data.setup("fit")
    batch_size = data.batch_size // trainer.accumulate_grad_batches
    per_shard = batch_size * max(1, 256 // batch_size)  # whole batches, so that an interrupted run resumes with one
    facts = stage.latent_facts(data)
    with (
        ShardWriter(
            out, converter="cache-latents", arguments=facts, samples_per_shard=per_shard, resume=True
        ) as writer,
        progress_bar() as progress,
    ):
        done = writer.samples
        data.load_state_dict({"step": 0, "number": done})
        task = progress.add_task("sampling latents", total=samples, completed=done)
        batches = iter(data.train_dataloader())
        while done < samples:
            batch = data.on_after_batch_transfer(data.transfer_batch_to_device(next(batches), stage.device, 0), 0)
            with trainer.precision_plugin.forward_context():
                latents = stage.sample_latents(batch)
            for number, file in zip(batch["number"], encode_latents(latents), strict=True):
                writer.write({"__key__": f"{number:09d}", "latents.npy": file})
            done += len(batch["number"])
            progress.update(task, completed=done)
    print(f"latents of {done} samples: {out}")
