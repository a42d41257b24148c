"""Procedural matting data in shards: three folders whose alpha and straight foreground colour are exact.

The procedural default: no download, no licence.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from drip_lightning.data.in_order import in_order, processes
from drip_lightning.data.shards.index import INDEX_NAME, read_index
from drip_lightning.data.shards.writer import JOURNAL_NAME, ShardWriter
from drip_lightning.data.synth.samples import SPLITS, Split, SynthSettings, sample_members
from drip_lightning.errors import InputError, raised_as

CONVERTER = "synth"
_OWN_FILES = ("shard-*.tar", "shard-*.tar.partial", f"{INDEX_NAME}.*", f".partial-{INDEX_NAME}*")


@dataclass(frozen=True)
class SynthFolder:
    """A folder that `synthesise` leaves behind, and whether it was there already."""

    path: Path
    samples: int
    reused: bool


def synthesise(
    out: Path,
    *,
    counts: dict[Split, int],
    settings: SynthSettings,
    samples_per_shard: int = 250,
    workers: int = 2,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
    advance: Callable[[Split, int, int], None] = lambda split, done, total: None,
) -> list[SynthFolder]:
    """Make `out/foregrounds`, `out/backgrounds` and `out/evaluation`, or keep those that are complete.

    The bytes depend on the settings alone, not on `workers`. A folder counts as complete when its index is there;
    one that was interrupted resumes after its finished shards. Nothing but shards and indices in these folders is
    ever removed.

    Args:
        out: Made if missing.
        counts: Samples in each split; a split with none gets no folder.
        settings: What decides the pixels.
        samples_per_shard: Size of every shard but a folder's last.
        workers: Processes that draw; 1 draws in this one.
        overwrite: Make folders again, complete or not.
        say: Where to say that a folder is reused.
        advance: Is told how many samples of a split are drawn, and of how many.

    Raises:
        InputError: an impossible count; a folder that was made or begun with other arguments, with `overwrite` off;
            or one that was not made by `drip synth` at all.
    """
    _check_counts(counts, workers=workers, samples_per_shard=samples_per_shard)
    if out.exists() and not out.is_dir():
        raise InputError(f"OUT {out} is a file: name a folder")
    wanted = {
        split: {"samples": counts[split], "samples_per_shard": samples_per_shard, **settings.arguments(split)}
        for split in SPLITS
        if counts.get(split, 0)
    }
    complete = {split for split in wanted if _is_complete(out / split, wanted[split], overwrite=overwrite)}
    for split in complete:
        say(f"reusing {out / split} ({counts[split]} samples)")
    _write_folders(
        out,
        {split: wanted[split] for split in wanted if split not in complete},
        settings,
        workers=workers,
        overwrite=overwrite,
        advance=advance,
    )
    return [SynthFolder(out / split, counts[split], split in complete) for split in wanted]


def _check_counts(counts: dict[Split, int], *, workers: int, samples_per_shard: int) -> None:
    for name, count in counts.items():
        if count < 0:
            raise InputError(f"{name}: expected 0 or more samples, got {count}")
    if workers < 1:
        raise InputError(f"workers: expected 1 or more, got {workers}")
    if samples_per_shard < 1:
        raise InputError(f"samples per shard: expected 1 or more, got {samples_per_shard}")


def _is_complete(folder: Path, arguments: dict[str, Any], *, overwrite: bool) -> bool:
    """Whether the folder can be kept: it has all its shards, made with these arguments.

    Raises:
        InputError: something else is there.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: choose another OUT")
    if not (folder / INDEX_NAME).exists():
        return False
    index = read_index(folder)
    if index.converter != CONVERTER:
        raise InputError(f"{folder} was made by the converter {index.converter!r}: choose another OUT")
    if overwrite:
        return False
    if index.arguments != arguments:
        raise InputError(f"{folder} was made with other arguments: give --overwrite or another OUT")
    for shard in index.shards:
        file = folder / shard.name
        if not file.is_file() or file.stat().st_size != shard.bytes:
            raise InputError(f"{file} is missing or cut short: give --overwrite or another OUT")
    return True


def _write_folders(
    out: Path,
    folders: dict[Split, dict[str, Any]],
    settings: SynthSettings,
    *,
    workers: int,
    overwrite: bool,
    advance: Callable[[Split, int, int], None],
) -> None:
    if not folders:
        return
    with raised_as(InputError, OSError, message=lambda why: f"cannot make the folder OUT {out} ({why})"):
        out.mkdir(parents=True, exist_ok=True)
    with processes(workers) as executor:
        for split, arguments in folders.items():
            if overwrite or not (out / split / JOURNAL_NAME).exists():
                _clear(out / split)
            writer = ShardWriter(
                out / split,
                converter=CONVERTER,
                arguments=arguments,
                samples_per_shard=arguments["samples_per_shard"],
                resume=True,
            )
            with writer:
                numbers = range(writer.samples, arguments["samples"])
                draw = partial(sample_members, split, settings=settings)
                for members in in_order(executor, draw, numbers, ahead=8 * workers):
                    writer.write(members)
                    advance(split, writer.samples, arguments["samples"])


def _clear(folder: Path) -> None:
    """Remove a folder's index, first, and then its shards."""
    (folder / INDEX_NAME).unlink(missing_ok=True)
    for pattern in _OWN_FILES:
        for file in folder.glob(pattern):
            file.unlink()
