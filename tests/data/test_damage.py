import io
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drip_lightning.data.augment import Augmentation
from drip_lightning.data.cache import LocalCache
from drip_lightning.data.damage import Damage, DamageLedger
from drip_lightning.data.datasets import TrainingLayers
from drip_lightning.data.mixture import ShardMixture
from drip_lightning.data.shards.index import INDEX_NAME
from drip_lightning.errors import InputError
from tests.shards import background_shards, disc_rgba, foreground_shards, picture_bytes, write_shards


def test_the_ledger_counts_each_damage_once_and_stops_above_the_share(caplog: pytest.LogCaptureFixture) -> None:
    ledger = DamageLedger({"foregrounds": 300, "backgrounds": 5}, allowed_share=0.01)
    for i in (0, 1, 2, 1, 0):
        ledger.add([Damage("foregrounds", i, f"sample {i} of shard.tar")])
    ledger.add([Damage("backgrounds", 0, "sample 0 of other.tar")])  # a single one never stops a run
    assert [record.getMessage() for record in caplog.records] == [
        *(f"replaced: sample {i} of shard.tar" for i in range(3)),
        "replaced: sample 0 of other.tar",
    ]
    with pytest.raises(InputError, match=r"^4 of the 300 foregrounds are damaged, .*damaged_share = 0\.01 .*sample 9"):
        ledger.add([Damage("foregrounds", 9, "sample 9")])
    with pytest.raises(InputError, match="2 of the 5 backgrounds"):
        ledger.add([Damage("backgrounds", 1, "sample 1 of other.tar")])


def _bomb() -> bytes:
    """A PNG that says it has 60000 x 60000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 6, 0, 0, 0)
    rows = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _palette() -> bytes:
    picture = Image.fromarray((np.arange(400).reshape(20, 20) % 4).astype(np.uint8), "P")
    picture.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9])
    stream = io.BytesIO()
    picture.save(stream, "PNG", transparency=0)
    return stream.getvalue()


def _jpeg(mode: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (24, 12), 90).save(stream, "JPEG", **options)
    return stream.getvalue()


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _jpeg("RGB", exif=exif)


GOOD = disc_rgba(0, 20, 22)
ALPHA = picture_bytes(GOOD[..., 3])


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"rgba.png": picture_bytes(GOOD)}, None),
        ({"rgba.png": _palette()}, None),
        ({"fg.png": picture_bytes(GOOD[..., 0].copy()), "alpha.png": ALPHA}, None),  # grey
        ({"fg.png": picture_bytes(GOOD[..., 0].astype(np.uint16) * 257), "alpha.png": ALPHA}, None),  # 16 bits
        ({"fg.jpg": _jpeg("CMYK"), "alpha.png": picture_bytes(np.full((12, 24), 99, np.uint8))}, None),
        ({"fg.jpg": _turned(), "alpha.png": picture_bytes(np.full((24, 12), 99, np.uint8))}, None),
        ({"rgba.png": _bomb()}, "pixels"),
        ({"rgba.png": picture_bytes(GOOD)[:200]}, "cannot be decoded"),
        ({"fg.png": picture_bytes(GOOD[..., :3].copy())}, "expected rgba.png"),
        ({"fg.png": picture_bytes(GOOD[..., :3].copy()), "alpha.png": picture_bytes(GOOD[:9, :, 3])}, "sizes differ"),
        ({"rgba.png": b"cos\nsystem\n(S'touch pwned'\ntR."}, "cannot be decoded"),
        ({"pyd": b"cos\nsystem\n(S'touch pwned'\ntR."}, "expected rgba.png"),
    ],
)
def test_odd_pictures_are_used_and_impossible_ones_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: dict[str, bytes], says: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    good = {"__key__": "good", "rgba.png": picture_bytes(GOOD)}
    write_shards(tmp_path / "foregrounds", [{"__key__": "odd", **members}, good])
    background_shards(tmp_path / "backgrounds")
    training = _training(tmp_path)
    damage = {line for number in range(8) for line in training[number].damage}
    if says is None:
        assert not damage
        assert {training[number].key.split("+")[0] for number in range(8)} == {"odd", "good"}
    else:
        ((_, _, line),) = damage
        assert says in line
        assert "odd" in line
        assert "shard-000000.tar" in line
        assert {training[number].key.split("+")[0] for number in range(8)} == {"good"}
    assert not (tmp_path / "pwned").exists()


def _training(folder: Path) -> TrainingLayers:
    mixtures = [ShardMixture(f"{folder}/{name}") for name in ("foregrounds", "backgrounds")]
    return TrainingLayers(
        *mixtures, augmentation=Augmentation(), image_size=16, seed=0, cache=LocalCache(folder / "cache", 0)
    )


def _flip(random: np.random.Generator, content: bytearray) -> bytes:
    for _ in range(int(random.integers(1, 9))):
        content[int(random.integers(len(content)))] ^= int(random.integers(1, 256))
    return bytes(content)


def _cut(random: np.random.Generator, content: bytearray) -> bytes:
    return bytes(content[: int(random.integers(len(content)))])


def _zero(random: np.random.Generator, content: bytearray) -> bytes:
    start = int(random.integers(len(content)))
    end = min(len(content), start + int(random.integers(1, 4000)))
    content[start:end] = bytes(end - start)
    return bytes(content)


def _move(random: np.random.Generator, content: bytearray) -> bytes:
    start = int(random.integers(len(content)))
    piece = content[start : start + int(random.integers(1, 3000))]
    del content[start : start + len(piece)]
    place = int(random.integers(len(content) + 1))
    return bytes(content[:place] + piece + content[place:])


def _fuzz(folder: Path, rounds: int) -> None:
    """Mutate a shard or an index; every sample must come out whole, or the folder be refused in one line."""
    foreground_shards(folder / "foregrounds", count=4, size=(16, 18))
    background_shards(folder / "backgrounds", count=2)
    files = {path: path.read_bytes() for name in ("foregrounds", "backgrounds") for path in (folder / name).iterdir()}
    mutations: tuple[Callable[[np.random.Generator, bytearray], bytes], ...] = (_flip, _cut, _zero, _move)
    shards = sorted(path for path in files if path.suffix == ".tar")
    refused = replaced = 0
    for number in range(rounds):
        random = np.random.default_rng(number)
        targets = [path for path in files if path.name == INDEX_NAME] if number % 10 == 9 else shards
        path = targets[int(random.integers(len(targets)))]
        path.write_bytes(mutations[number % 4](random, bytearray(files[path])))
        if number % 3 == 0:  # an index that does not tell where samples lie
            for index in (folder / "foregrounds" / INDEX_NAME, folder / "backgrounds" / INDEX_NAME):
                if index != path:
                    index.write_text("\n".join(_without_contents(files[index].decode())))
        try:
            training = _training(folder)
            for i in range(4):
                sample = training[i]
                assert sample.alpha.shape == (1, 16, 16)
                replaced += bool(sample.damage)
        except InputError as error:
            assert "\n" not in str(error), error  # noqa: PT017
            refused += 1
        for file, content in files.items():
            file.write_bytes(content)
            os.utime(file, ns=(0, number))
    assert replaced > rounds // 20
    assert refused < rounds // 2


def _without_contents(text: str) -> list[str]:
    index = json.loads(text)
    for shard in index["shards"]:
        shard["contents"] = []
    return json.dumps(index).splitlines()


def test_mutated_shards_never_crash_hang_or_execute(tmp_path: Path) -> None:
    _fuzz(tmp_path, 80)


@pytest.mark.slow
def test_many_mutated_shards_never_crash_hang_or_execute(tmp_path: Path) -> None:
    _fuzz(tmp_path, 1000)
