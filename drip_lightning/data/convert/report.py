"""What became of a source's files: counted, told, and kept in the index."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drip_lightning.data.convert.faded import BLACK, WHITE
from drip_lightning.data.convert.mattes import BINARY
from drip_lightning.data.convert.sources import Finding

SHOWN = 10
"""Files of each kind that are named on the terminal; the index names all."""

_ADVICE = {
    BINARY: "training on binary mattes destroys soft edges: leave them out, or soften them with a matting method first",
    BLACK: "straight colours are the objects' own up to their edge: if these are premultiplied, give --premultiplied",
    WHITE: "straight colours are the objects' own up to their edge: if these were cut out over white, give "
    "--estimate-foreground",
}


@dataclass
class ConversionReport:
    """What became of a source's files."""

    listed: int = 0
    written: int = 0
    refused: list[Finding] = field(default_factory=list)
    warned: list[Finding] = field(default_factory=list)
    ignored: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The report as an index holds it: with the counts in front, then file by file."""
        return {
            "listed": self.listed,
            "written": self.written,
            "refused": dict(sorted(Counter(finding.what for finding in self.refused).items())),
            "warned": dict(sorted(Counter(finding.what for finding in self.warned).items())),
            "ignored": self.ignored,
            "refused_files": [[finding.file, finding.what, finding.detail] for finding in self.refused],
            "warned_files": [[finding.file, finding.what, finding.detail] for finding in self.warned],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "ConversionReport":
        """The inverse of `as_json`."""
        refused, warned = ([Finding(*entry) for entry in content[name]] for name in ("refused_files", "warned_files"))
        return cls(content["listed"], content["written"], refused, warned, dict(content["ignored"]))

    def lines(self) -> Iterator[str]:
        """The report for the terminal: counts, and the first files of each kind."""
        yield from _grouped("refused", self.refused)
        yield from _grouped("warning", self.warned)
        if self.ignored:
            others = ", ".join(f"{count} {suffix}" for suffix, count in self.ignored.items())
            yield f"ignored, as no pictures that are read: {others}"


def counts(findings: Iterable[Finding]) -> str:
    """`3 unreadable, 1 duplicate`."""
    return ", ".join(f"{count} {what}" for what, count in Counter(finding.what for finding in findings).most_common())


def _grouped(title: str, findings: Sequence[Finding]) -> Iterator[str]:
    for what, count in Counter(finding.what for finding in findings).most_common():
        advice = f" ({_ADVICE[what]})" if what in _ADVICE else ""
        yield f"{title}: {count} × {what}{advice}"
        files = [finding for finding in findings if finding.what == what]
        yield from (f"    {finding.file}{': ' if finding.detail else ''}{finding.detail}" for finding in files[:SHOWN])
        if count > SHOWN:
            yield f"    … and {count - SHOWN} more, named in the index"
