import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from drip_lightning import __version__
from drip_lightning.data.shards.index import read_index
from drip_lightning.data.shards.writer import ShardWriter
from drip_lightning.errors import InputError


def _samples(count: int) -> list[dict[str, object]]:
    return [
        {"__key__": f"s{i:03d}", "rgba.png": bytes([i]) * (600 + i), "json": b'{"i": %d}' % i} for i in range(count)
    ]


def _write(folder: Path, samples: Iterable[dict[str, object]], samples_per_shard: int = 3) -> Path:
    with ShardWriter(folder, converter="test", arguments={"seed": 4}, samples_per_shard=samples_per_shard) as writer:
        for sample in samples:
            writer.write(sample)
    return folder


def _one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_index_tells_what_is_on_disk(tmp_path: Path) -> None:
    folder = _write(tmp_path / "set", _samples(8))
    index = read_index(folder)
    assert [shard.samples for shard in index.shards] == [3, 3, 2]
    assert (index.samples, index.converter, index.version, index.arguments) == (8, "test", __version__, {"seed": 4})
    for shard in index.shards:
        content = (folder / shard.name).read_bytes()
        assert (shard.bytes, shard.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert sorted(path.name for path in folder.iterdir()) == sorted(["index.json", *(s.name for s in index.shards)])


def test_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (_write(tmp_path / name, _samples(5)) for name in ("first", "second"))
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_a_shard_ends_at_its_bytes_too(tmp_path: Path) -> None:
    """Members are 600 + i and 7 bytes long: two samples pass 1200 bytes, three pass 1800."""
    for bound, sizes in ((1200, [2, 2, 2, 1]), (1800, [3, 3, 1]), (1, [1] * 7)):
        folder = tmp_path / str(bound)
        with ShardWriter(folder, converter="test", arguments={}, samples_per_shard=5, bytes_per_shard=bound) as writer:
            for sample in _samples(7):
                writer.write(sample)
        assert [shard.samples for shard in read_index(folder).shards] == sizes


def test_exception_leaves_no_index_and_the_folder_can_be_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "set"

    def failing() -> Iterator[dict[str, object]]:
        yield from _samples(5)
        raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        _write(folder, failing())
    assert [path.name for path in folder.iterdir()] == ["shard-000000.tar"]
    with pytest.raises(InputError) as error:
        read_index(folder)
    assert "not complete" in _one_line(error)
    assert read_index(_write(folder, _samples(5))).samples == 5
    with pytest.raises(InputError) as error:
        _write(folder, _samples(5))
    assert "already holds" in _one_line(error)


@pytest.mark.parametrize("key", ["", "a.b", "/a", "s000"])
def test_unusable_keys_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="sample key"):
        _write(tmp_path / "set", [*_samples(1), {"__key__": key, "png": b"x"}])


def test_missing_folder_empty_folder_and_bad_index_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read_index(tmp_path / "nowhere")
    assert f"no shards at {tmp_path / 'nowhere'}: make some with `drip synth" in _one_line(error)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as error:
        read_index(tmp_path / "empty")
    assert "is empty" in _one_line(error)
    for content in ('{"shards": [', "[]", '{"shards": []}', '{"shards": [{"name": "a.tar"}]}'):
        (tmp_path / "empty" / "index.json").write_text(content)
        with pytest.raises(InputError) as error:
            read_index(tmp_path / "empty")
        assert "index.json" in _one_line(error)


def test_index_cannot_point_out_of_its_folder(tmp_path: Path) -> None:
    folder = _write(tmp_path / "set", _samples(2))
    index = json.loads((folder / "index.json").read_text())
    for name in ("../other.tar", "pipe:touch x; cat a.tar", "/etc/a.tar"):
        index["shards"][0]["name"] = name
        (folder / "index.json").write_text(json.dumps(index))
        with pytest.raises(InputError, match="no usable shards"):
            read_index(folder)
