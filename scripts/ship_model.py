"""Put what `make model` trained into the package, with the records of how: ship_model.py RUNS DATA.

RUNS   the folder of the three runs: autoencoder/, denoiser/, transparency/; those of earlier passes, from whose
       weights these started, lie beside them (transparency_1/, …)
DATA   the folder of cut-outs and backgrounds that they were trained on (docs/data.md), whose list.csv has the licences

Writes drip_lightning/model: the exported pipeline in half precision, its card, and in training/ each run's
configuration, its provenance and its log, and the list of all pictures with their sources and licences.
"""

import csv
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from drip_lightning.cli.main import run
from drip_lightning.shipped import MODEL

LOGGED = ("train/", "val/", "seconds/step", "optimizer/learning_rate")
_LICENCE = """\
All weights were trained from nothing, and are given under this package's licence, Apache-2.0. What they were trained
on, file by file with attributions: `training/data.csv`; and procedural pictures, which nobody owns.

| part | source | licence | pictures |
|---|---|---|--:|
{rows}

Pictures of people are among the backgrounds, none among the foregrounds but rendered faces and hair.
"""


def main(runs: Path, data: Path) -> None:
    """Export, and gather the records."""
    if run(["export", str(runs / "transparency"), str(MODEL), "--precision", "float16", "--overwrite"]):
        sys.exit(1)
    records = MODEL / "training"
    records.mkdir()
    for folder in sorted(file.parent for file in runs.glob("*/config.yaml")):
        stage = folder.name
        shutil.copyfile(folder / "config.yaml", records / f"{stage}.yaml")
        starts = json.loads((folder / "provenance.json").read_text())
        kept = [{name: value for name, value in start.items() if name != "platform"} for start in starts]
        (records / f"{stage}.provenance.json").write_text(json.dumps(kept, indent=1) + "\n")
        with (records / f"{stage}.log.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("step", "name", "value"), *_log(folder / "tensorboard")])
    shutil.copyfile(data / "list.csv", records / "data.csv")
    card = MODEL / "README.md"
    before, licence = card.read_text().split("## Licence\n")
    after = licence[licence.index("## Limits") :].replace(
        "This card states no scores: measure with `drip test`.", _LIMITS
    )
    card.write_text(f"{before}## Licence\n\n{_LICENCE.format(rows=_sources(data / 'list.csv'))}\n{after}")


_LIMITS = """

It is small, and trained for hours on one core: `docs/model.md` in the repository has its scores beside closed-form
matting's, and its failures in pictures. It must not be used to decide anything about people, and it is no way to find
out whether a picture was made up."""


def _log(folder: Path) -> Iterator[tuple[int, str, str]]:
    """Every tenth logged step of the losses, and every validation."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    for name in events.Tags()["scalars"]:
        if name.startswith(LOGGED):
            scalars = events.Scalars(name)
            for event in scalars if name.startswith("val/") else scalars[::10]:
                yield event.step, name, f"{event.value:.6g}"


def _sources(file: Path) -> str:
    with file.open(newline="") as stream:
        count = Counter(
            (f"{row['file'].split('/')[0]}, {row['kind']}", row["source"], row["licence"])
            for row in csv.DictReader(stream)
        )
    return "\n".join(f"| {' | '.join(key)} | {number} |" for key, number in sorted(count.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
