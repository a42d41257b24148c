"""What every kind of source can do; kept apart from the writing so that worker processes start without PyTorch."""

from pathlib import Path
from typing import Any, ClassVar, Protocol

from drip_lightning.data.convert.outcome import Refusal, Sample
from drip_lightning.data.convert.sources import ConversionJob, Finding, Listing
from drip_lightning.data.picture_files import printable


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
    """Make one sample, or say why not."""
    try:
        return kind.convert(job)
    except Refusal as refusal:
        return Finding(printable(refusal.file) or job.label, refusal.what, refusal.detail)
