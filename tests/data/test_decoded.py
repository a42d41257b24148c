import os
from pathlib import Path

import numpy as np
import pytest

from drip_lightning.data.cache import LocalCache
from drip_lightning.data.decode import decode_foreground
from drip_lightning.data.decoded import DecodedPictures, Picture
from drip_lightning.data.shards.reader import ShardFolder
from drip_lightning.data.shards.writer import INDEX_NAME
from drip_lightning.errors import InputError
from tests.shards import disc_rgba, foreground_shards, picture_bytes, write_shards


def _equal(first: Picture, second: Picture) -> bool:
    levels = zip(first.levels, second.levels, strict=True)
    return np.array_equal(first.centres, second.centres) and all(np.array_equal(a, b) for a, b in levels)


def _pictures(folder: str, cache: LocalCache) -> DecodedPictures:
    return DecodedPictures(ShardFolder(folder), decode_foreground, cache)


def test_the_cache_changes_nothing_but_who_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, cache = foreground_shards(tmp_path / "set"), LocalCache(tmp_path / "cache")
    direct = _pictures(folder, LocalCache(tmp_path / "none", 0))
    cold = [_pictures(folder, cache)[i] for i in range(7)]
    monkeypatch.setattr(ShardFolder, "__getitem__", None)  # nothing is read again
    warm = [_pictures(folder, cache)[i] for i in range(7)]
    monkeypatch.undo()
    assert not (tmp_path / "none").exists()
    for i in range(7):
        assert _equal(cold[i], direct[i])
        assert _equal(warm[i], direct[i])
        rgba = decode_foreground(ShardFolder(folder)[i])
        assert (warm[i].levels[0].view(np.uint8).reshape(rgba.shape) == rgba).all()


def test_centres_are_the_unknown_pixels_or_evenly_many_of_them(tmp_path: Path) -> None:
    clear, solid = np.zeros((5, 6, 4), np.uint8), np.zeros((5, 6, 4), np.uint8)
    solid[2, 3:, 3] = 255
    soft = np.full((90, 90, 4), 100, np.uint8)
    samples = [
        {"__key__": name, "rgba.png": picture_bytes(pixels)}
        for name, pixels in zip("abcd", (disc_rgba(0, 40, 40), clear, solid, soft), strict=True)
    ]
    pictures = _pictures(write_shards(tmp_path / "set", samples), LocalCache(tmp_path / "cache"))
    alpha = disc_rgba(0, 40, 40)[..., 3]
    assert (pictures[0].centres == np.argwhere((alpha > 0) & (alpha < 255))).all()
    assert len(pictures[1].centres) == 0
    assert pictures[2].centres.tolist() == [[2, 3], [2, 4], [2, 5]]
    many = pictures[3].centres
    assert len(many) == 4096
    assert many[0].tolist() == [0, 0]
    assert many[-1].tolist() == [89, 89]
    assert set(np.diff(many @ [90, 1])) == {1, 2}


@pytest.mark.parametrize("torn", [b"", b"DRIPpic1", b"\0" * 4000, None])
def test_a_torn_entry_is_made_again(tmp_path: Path, torn: bytes | None) -> None:
    folder, cache = foreground_shards(tmp_path / "set"), LocalCache(tmp_path / "cache")
    whole = _pictures(folder, LocalCache(tmp_path / "none", 0))[0]
    _pictures(folder, cache)[0]
    (entry,) = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    content = entry.read_bytes()
    entry.write_bytes(content[:-9] if torn is None else torn)
    assert _equal(_pictures(folder, cache)[0], whole)
    assert entry.read_bytes() == content


def test_another_shard_under_the_same_name_is_not_mistaken_for_the_old_one(tmp_path: Path) -> None:
    cache = LocalCache(tmp_path / "cache")
    folder = write_shards(tmp_path / "set", [{"__key__": "a", "rgba.png": picture_bytes(disc_rgba(0, 20, 20))}])
    before = _pictures(folder, cache)[0]
    for path in (tmp_path / "set").iterdir():
        path.unlink()
    write_shards(tmp_path / "set", [{"__key__": "a", "rgba.png": picture_bytes(disc_rgba(1, 20, 20))}])
    assert not _equal(_pictures(folder, cache)[0], before)
    shard = tmp_path / "set" / "shard-000000.tar"
    content = bytearray(shard.read_bytes())
    content[700] ^= 1
    shard.write_bytes(content)  # damaged, with a warm cache
    os.utime(shard, ns=(0, 1))
    with pytest.raises(InputError, match="changed or damaged"):
        _pictures(folder, cache)[0]
    assert (tmp_path / "set" / INDEX_NAME).exists()


def test_a_corpus_larger_than_the_cache(tmp_path: Path) -> None:
    folder = foreground_shards(tmp_path / "set", count=7)
    direct, small = _pictures(folder, LocalCache(tmp_path / "none", 0)), LocalCache(tmp_path / "cache", 30_000)
    pictures = _pictures(folder, small)
    for _ in range(3):
        for i in range(7):
            assert _equal(pictures[i], direct[i])
    size = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert 10_000 < size <= 30_000
