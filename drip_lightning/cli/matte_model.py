"""The trained model that `drip matte` and `drip demo` cut out with: which one, on which device, at which sizes."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from drip_lightning.cli.size_options import add_size_options, in_precision, size_changes
from drip_lightning.errors import InputError, raised_as
from drip_lightning.moved import MOVED_HELP, moved_places
from drip_lightning.nn.export_index import is_exported
from drip_lightning.shipped import shipped_model

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from drip_lightning.nn.sampler import Matte, MattingSampler, Progress

INPUT_BYTES = 16
"""For each pixel of an image and its trimap; to read them takes no more than that and what a result takes."""
SMALL = 2**28
"""Bytes of pictures that are read in any case: four megapixels'."""


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The options that `MatteModel.of` makes sense of."""
    parser.add_argument(
        "--checkpoint",
        metavar="C",
        type=Path,
        help="checkpoint, run folder (its best checkpoint if it keeps one, else its newest), exported folder, or "
        "USER/NAME[@REVISION] of one on the Hub: transparency or denoiser (default: the model that comes with the "
        "package)",
    )
    parser.add_argument("--moved", metavar="OLD=NEW,…", help=MOVED_HELP)
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1 …; auto takes a GPU if there is one")
    add_size_options(parser)


def is_export(options: argparse.Namespace) -> bool:
    """Whether an exported folder is asked for, here or on the Hub: it needs none of what training does.

    Raises:
        InputError: it is on the Hub, which does not answer: told before slow imports, or any work.
    """
    place = options.checkpoint
    if place is None or is_exported(place):
        return options.moved is None
    from drip_lightning.nn.hub import is_hub_id, require_answer

    require_answer(place)
    return options.moved is None and is_hub_id(place)


@dataclass(frozen=True)
class MatteModel:
    """A model, ready to cut out.

    Attributes:
        sampler: Its networks.
        sampling_steps: Denoising steps, unless told otherwise.
        device: Where it works.
        options: What `add_model_options` has read.
    """

    sampler: "MattingSampler"
    sampling_steps: int
    device: "torch.device"
    options: argparse.Namespace

    @classmethod
    def of(cls, options: argparse.Namespace, *, prog: str) -> "MatteModel":
        """Load what was asked for, and say on standard error if that is the package's model or which of the Hub's.

        Args:
            options: What `add_model_options` has read.
            prog: The command's name.

        Raises:
            InputError: there is no such model, or the device cannot be used.
        """
        checkpoint = options.checkpoint
        if checkpoint is None:
            checkpoint = shipped_model()
            print(f"{prog}: no --checkpoint, so the model in {checkpoint} is used", file=sys.stderr)
        else:
            from drip_lightning.nn.hub import local_folder

            checkpoint = local_folder(checkpoint)
            if checkpoint != options.checkpoint:
                print(f"{prog}: {options.checkpoint}: taking revision {checkpoint.name} of the Hub's", file=sys.stderr)
        device = _usable_device(options.device)
        sampler, sampling_steps = _loaded(checkpoint, options, device)
        return cls(sampler, sampling_steps, device, options)

    @property
    def most_steps(self) -> int:
        """As many denoising steps as can be."""
        return self.sampler.schedule.num_train_timesteps

    def require_memory(self, picture: Path) -> None:
        """Refuse a picture for which there cannot be enough memory before anything of it is decoded.

        Small ones are let through, for the sampler to say all that they need.

        Raises:
            InputError: that, or it cannot be read.
        """
        import torch

        from drip_lightning.data.exr import exr_size, is_exr
        from drip_lightning.data.picture_files import FORMATS, read_file
        from drip_lightning.data.pictures import size_of
        from drip_lightning.nn.memory_bound import PICTURE_BYTES, MemoryBound, too_large

        content, name = read_file(picture), str(picture)
        width, height = (
            exr_size(content, name=name) if is_exr(content) else size_of(content, name=name, formats=FORMATS)
        )
        memory = self.sampler.memory if self.device.type == "cpu" else MemoryBound()  # pixels are read on the CPU
        needed, left = width * height * (INPUT_BYTES + PICTURE_BYTES), memory.left(torch.device("cpu"))
        if needed > max(left, SMALL):
            raise too_large(width, height, needed, left=left)

    def with_processing_size(self, size: int | None) -> "MatteModel":
        """The model that sees a picture's longest side at `size` pixels, or at its own scale.

        Raises:
            InputError: no picture could be brought to that.
        """
        sizes = replace(self.sampler.sizes, processing_size=size)
        return replace(self, sampler=replace(self.sampler, sizes=sizes))

    def matte(
        self, image: "Tensor", trimap: "Tensor", *, steps: int | None, seed: int, progress: "Progress"
    ) -> "Matte":
        """Matte a picture.

        Args:
            image: (1, 3, H, W) in [0, 1].
            trimap: (1, 1, H, W), exactly 0, 0.5 or 1.
            steps: Denoising steps; none for the model's own.
            seed: Of the noise, which is alike for all pictures of one seed, so that a still does not flicker.
            progress: Told how far it is.

        Raises:
            InputError: it needs more memory than there is, or the model takes fewer steps.
        """
        from drip_lightning.ops.randomness import sample_generator

        with in_precision(self.options, self.device):
            return self.sampler(
                image.to(self.device),
                trimap.to(self.device),
                steps=steps or self.sampling_steps,
                generators=[sample_generator(seed, 0, "sampling")],
                progress=progress,
            )


@contextmanager
def told_memory(name: str, device: "torch.device | str") -> Iterator[None]:
    """Say in a line that a picture is too big for the device's memory.

    Raises:
        InputError: that.
    """
    from drip_lightning.ops.memory import is_out_of_memory

    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        advice = "try --device cpu" if str(device).startswith("cuda") else "make it smaller"
        raise InputError(f"{name} is too big for the memory of {device}: {advice}") from error


def _loaded(checkpoint: Path, options: argparse.Namespace, device: "torch.device") -> "tuple[MattingSampler, int]":
    """A model's sampler and its number of steps: an export's without what training takes to import."""
    if is_export(options):
        from torch import nn

        from drip_lightning.nn.exported_sampler import exported_sampler, is_known

        if is_known(checkpoint):
            sampler, sampling_steps = exported_sampler(checkpoint, **size_changes(options))
            for network in (sampler.codec.vae, sampler.joint_unet, sampler.decoder):
                nn.Module.to(network, device)
            return sampler, sampling_steps
    from drip_lightning.lit.matting import MattingStage

    moved = moved_places(options.moved)
    stage = MattingStage.from_checkpoint(checkpoint, moved=moved, **size_changes(options)).to(device)
    return stage.sampler, stage.sampling_steps


def _usable_device(name: str) -> "torch.device":
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    with raised_as(
        InputError, RuntimeError, AssertionError, message=lambda why: f"--device {name} cannot be used here ({why})"
    ):
        return torch.empty(0, device=device).device
