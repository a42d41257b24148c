"""Whether a folder of shards is what its index says, down to every picture."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webdataset.tariterators import group_by_keys, tar_file_expander

from drip_lightning.data.decode import decode_background, decode_evaluation, decode_foreground
from drip_lightning.data.in_order import in_order
from drip_lightning.data.shards.index import READ_ERRORS, Shard, ShardIndex, read_index
from drip_lightning.data.shards.urls import is_remote, open_place
from drip_lightning.errors import InputError

_CHUNK = 1 << 20


@dataclass(frozen=True)
class FolderCheck:
    """What a check found: the index, how many samples are sound, and a line for each damage."""

    index: ShardIndex
    sound: int
    damage: tuple[str, ...]


def check_folder(
    folder: str | os.PathLike[str], *, workers: int = 2, advance: Callable[[int], None] = lambda samples: None
) -> FolderCheck:
    """Compare every shard's size, SHA-256 and samples with the index, and decode every sample.

    Args:
        folder: A local folder, or any URL that fsspec opens.
        workers: Threads that decode.
        advance: Is told how many more samples of the index are dealt with.

    Raises:
        InputError: there is no index to check against.
    """
    index = read_index(folder)
    damage = [f"{file} is not in the index" for file in _unlisted_shards(index)]
    sound, keys = 0, set[str]()
    with ThreadPoolExecutor(workers) as executor:
        for shard in index.shards:
            read = 0
            try:
                damage += _file_damage(index, shard)
                for key, fault in in_order(executor, _sample_fault, _samples(index, shard), ahead=4 * workers):
                    fault = fault or (f"sample {key!r} of {index.url(shard)} was there before" if key in keys else None)
                    keys.add(key)
                    read += 1
                    damage += [fault] if fault else []
                    sound += not fault
                    advance(read <= shard.samples)
                if read != shard.samples:
                    damage.append(f"{index.url(shard)} has {read} samples, {shard.samples} are in the index")
            except READ_ERRORS as error:
                damage.append(f"{index.url(shard)} cannot be read after {read} of {shard.samples} samples ({error})")
            advance(max(0, shard.samples - read))
    return FolderCheck(index, sound, tuple(damage))


def _unlisted_shards(index: ShardIndex) -> list[Path]:
    """Shards of a local folder that its index does not list: half a conversion, or another's."""
    if is_remote(index.folder):
        return []
    return sorted(
        file for file in Path(index.folder).glob("*.tar*") if file.name not in {shard.name for shard in index.shards}
    )


def _file_damage(index: ShardIndex, shard: Shard) -> list[str]:
    digest, size = hashlib.sha256(), 0
    with open_place(index.url(shard)) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    if size != shard.bytes:
        return [f"{index.url(shard)} has {size} bytes, {shard.bytes} are in the index"]
    if digest.hexdigest() != shard.sha256:
        return [f"{index.url(shard)} was changed: its SHA-256 is not the index's"]
    return []


def _samples(index: ShardIndex, shard: Shard) -> Iterator[Mapping[str, Any]]:
    """The samples as they come, split as WebDataset splits them, but opened as training opens them."""
    with open_place(index.url(shard)) as stream:
        yield from group_by_keys(tar_file_expander([{"url": index.url(shard), "stream": stream}]))


def _sample_fault(sample: Mapping[str, Any]) -> tuple[str, str | None]:
    """The sample's key, and what is wrong with it."""
    if "image.png" in sample:
        decode: Callable[[Mapping[str, Any]], object] = decode_evaluation
    elif any(member.startswith(("rgba.", "fg.", "alpha.")) for member in sample):
        decode = decode_foreground
    else:
        decode = decode_background
    try:
        decode(sample)
    except InputError as error:
        return sample["__key__"], str(error)
    return sample["__key__"], None
