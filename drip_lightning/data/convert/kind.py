"""What every kind of source can do; kept apart from the writing so that worker processes start without PyTorch."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from drip_lightning.data.convert.outcome import Refusal, Sample
from drip_lightning.data.convert.sources import ConversionJob, Finding, Listing
from drip_lightning.data.frames import frames_of
from drip_lightning.data.picture_files import printable, read_file
from drip_lightning.errors import InputError

MORE_FRAMES = "several frames or pages, of which the first is taken"
"""A warning's name."""


class Kind(Protocol):
    """What a source is and how its samples are made: a frozen object that holds the user's choices."""

    name: ClassVar[str]
    """On the command line and, after `prepare `, in the index."""
    noun: ClassVar[str]
    """What comes out."""
    licence: ClassVar[str]
    """What a published set allows; empty for what is the user's."""
    expected: ClassVar[int | None]
    """How many samples a published set has."""
    is_test_set: ClassVar[bool]
    """Whether it is to be evaluated on: then it is what it is, duplicates and all."""

    @property
    def sources(self) -> tuple[Path, ...]:
        """The user's folders."""

    def arguments(self) -> dict[str, Any]:
        """What decides the pixels, besides the files."""

    def find(self) -> Listing:
        """List what is there."""

    def convert(self, job: ConversionJob) -> Sample:
        """Make one sample, or raise `Refusal`."""


def attempt(kind: Kind, job: ConversionJob) -> Sample | Finding:
    """Make one sample, or say why not; frames and pages that it leaves out are told of."""
    try:
        sample = kind.convert(job)
    except Refusal as refusal:
        return Finding(printable(refusal.file) or job.label, refusal.what, refusal.detail)
    if any(map(_has_more_frames, job.files.values())):
        return replace(sample, warnings=(*sample.warnings, MORE_FRAMES))
    return sample


def _has_more_frames(path: str) -> bool:
    try:
        return len(frames_of(read_file(Path(path)), name=path).numbers) > 1
    except InputError:  # the first was read: a further one is broken
        return True
