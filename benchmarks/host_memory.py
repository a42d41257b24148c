"""Host memory that loading and exporting a run take, in weights' own bytes as float32, at a size where it matters.

    OMP_NUM_THREADS=1 python -m benchmarks.host_memory [--millions 110] [--folder DIR]

Each use is a process of its own, whose peak begins anew once everything is imported (Linux). All weights are looked
at once, as computing does. What is mapped from a file counts, though processes of a machine share it and it can be
given up at any time; what a process has for itself is the last column.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from drip_lightning.export.folder import write_pipeline_folder
from drip_lightning.lit.denoiser import Denoiser
from drip_lightning.lit.matting import MattingStage
from drip_lightning.lit.resume.checkpoint_io import write_checkpoint
from drip_lightning.lit.transparency import TransparencyDecoder
from drip_lightning.nn.pretrained import FromScratch

SMALL = FromScratch()
SMALL_MILLIONS = 49.7
"""Weights of its U-Net."""


def write_run(folder: Path, millions: float) -> None:
    """A denoiser's run: its autoencoder, and one checkpoint with Adam's states."""
    factor = math.sqrt(millions / SMALL_MILLIONS)
    channels = tuple(round(one * factor / 32) * 32 for one in SMALL.unet_channels)
    networks = replace(SMALL, vae=str(folder / "autoencoder"), unet_channels=channels)
    networks.new_vae().save_pretrained(folder / "autoencoder" / "vae")
    stage = Denoiser(networks)
    stage.build()
    checkpoint: dict[str, Any] = {"state_dict": stage.state_dict(), "global_step": 1, "lr_schedulers": []}
    stage.on_save_checkpoint(checkpoint)
    states = {
        number: {"exp_avg": weight.detach(), "exp_avg_sq": weight.detach().clone()}
        for number, weight in enumerate(stage.joint_unet.parameters())
    }
    for state in states.values():
        state["exp_avg"] = state["exp_avg"].clone()
    checkpoint["optimizer_states"] = [{"state": states, "param_groups": []}]
    write_checkpoint(checkpoint, folder / "checkpoints" / "step=0000001.ckpt")


def load(folder: Path) -> MattingStage:
    return MattingStage.from_checkpoint(folder)


def load_export(folder: Path) -> MattingStage:
    return MattingStage.from_checkpoint(folder / "export")


def export(folder: Path, dtype: torch.dtype = torch.float32) -> MattingStage:
    stage = load(folder)
    list(write_pipeline_folder(stage, folder / "export", card="", dtype=dtype, overwrite=True))
    return stage


def next_stage(folder: Path) -> MattingStage:
    stage = TransparencyDecoder(str(folder), replace(SMALL, transparency_channels=(8, 8, 8, 8)))
    stage.build()
    return stage


def start_from(folder: Path) -> MattingStage:
    description = load(folder).as_config()["init_args"]["networks"]["init_args"]
    networks = FromScratch(**{key: tuple(one) if isinstance(one, list) else one for key, one in description.items()})
    stage = Denoiser(networks, start_from=str(folder))
    stage.configure_model()
    return stage


USES = {
    "matte, test": load,
    "export, float16": partial(export, dtype=torch.float16),
    "export": export,
    "matte, test of the export": load_export,
    "next stage": next_stage,
    "start_from": start_from,
}


def measure(use: str, folder: Path) -> dict[str, float]:
    """In this process: peak and own memory above what imports took, and the weights' bytes."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status()
    stage = USES[use](folder)
    looked_at = sum(weight.detach().sum().item() for weight in stage.parameters())
    after = _status()
    assert math.isfinite(looked_at)
    return {
        "weights": sum(weight.numel() * 4 for weight in stage.parameters()),
        "peak": after["VmHWM"] - before["VmRSS"],
        "own": after["RssAnon"] - before["RssAnon"],
    }


def _status() -> dict[str, int]:
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[-1] == "kB"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, default=110, help="weights of the U-Net (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="keep what is written there")
    parser.add_argument("--use", choices=USES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.use:
        print(json.dumps(measure(arguments.use, arguments.folder)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        write_run(folder, arguments.millions)
        table = Table("use", title="host memory, in weights' bytes")
        for heading in ("weights, MB", "peak", "its own"):
            table.add_column(heading, justify="right")
        for use in USES:
            command = [sys.executable, "-m", "benchmarks.host_memory", "--use", use, "--folder", str(folder)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            shares = (found[name] / found["weights"] for name in ("peak", "own"))
            table.add_row(use, f"{found['weights'] / 1e6:.0f}", *(f"{share:.2f}" for share in shares))
        Console().print(table)


if __name__ == "__main__":
    main()
