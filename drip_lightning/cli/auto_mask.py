"""`--mask auto`: masks that rembg makes, and the trimaps they lead to, beside the results."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from drip_lightning.data.matte_jobs import MatteJob
from drip_lightning.errors import InputError, RunError, raised_as

if TYPE_CHECKING:
    from drip_lightning.data.segmenter import Segmenter


@dataclass(frozen=True)
class AutoMask:
    """What `--mask auto` stands for: one of rembg's models, or none for the one that is chosen here."""

    model: str | None

    def maker(self, band: int) -> "TrimapMaker":
        """What makes the trimaps, unknown within `band` pixels of a mask's outline.

        Raises:
            InputError: rembg is missing, or has no such model.
            RunError: its model cannot be had.
        """
        from drip_lightning.data.segmenter import MODEL, Segmenter

        return TrimapMaker(Segmenter(self.model or MODEL), band)


def mask_option(text: str) -> Path | AutoMask:
    """The value of `--mask`: `auto`, `auto:MODEL`, or a path; a file of that name is `./auto`."""
    word, _, model = text.partition(":")
    return AutoMask(model or None) if word == "auto" else Path(text)


@dataclass(frozen=True)
class TrimapMaker:
    """Makes a trimap of what a segmenter finds."""

    segmenter: "Segmenter"
    band: int

    def write_trimap(self, job: MatteJob) -> None:
        """Find the object of a job's picture, and write the job's trimap.

        Raises:
            InputError: the picture cannot be read, has several frames, or shows no object.
            RunError: the trimap cannot be written.
        """
        import torch

        from drip_lightning.data.frames import frames_of
        from drip_lightning.data.matte_inputs import read_picture
        from drip_lightning.data.picture_files import read_file
        from drip_lightning.files import whole_file
        from drip_lightning.ops.picture import as_picture
        from drip_lightning.ops.trimap import trimap_from_mask

        numbers = frames_of(read_file(job.picture), name=str(job.picture)).numbers
        if len(numbers) > 1:
            raise InputError(f"{job.picture} has {len(numbers)} frames or pages: --mask auto takes pictures of one")
        colour, _, _ = read_picture(job.picture, frame=numbers[0])
        mask = torch.from_numpy(self.segmenter.mask(colour, name=str(job.picture)))[None, None] / 255
        advice = "free some space or choose another --out"
        with raised_as(RunError, OSError, message=lambda why: f"cannot write {job.guide} ({why}): {advice}"):
            job.guide.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(job.guide) as file:
                as_picture(trimap_from_mask(mask, self.band)[0]).save(file)
