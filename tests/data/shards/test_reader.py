import json
from pathlib import Path

import pytest

from drip_lightning.data.shards.index import INDEX_NAME
from drip_lightning.data.shards.reader import ShardFolder
from drip_lightning.errors import InputError
from tests.shards import write_shards


def _samples(count: int) -> list[dict[str, object]]:
    return [
        {"__key__": f"s{i:03d}", "rgba.png": bytes([i]) * (600 + i), "json": b'{"i": %d}' % i} for i in range(count)
    ]


def _forget_contents(folder: Path) -> None:
    """An index that does not tell where samples lie."""
    index = json.loads((folder / INDEX_NAME).read_text())
    for shard in index["shards"]:
        del shard["contents"]
    (folder / INDEX_NAME).write_text(json.dumps(index))


def _readable(folder: Path, count: int) -> list[int]:
    found, complaints, shards = [], [], ShardFolder(folder)
    for position in range(count):
        try:
            shards[position]
            found.append(position)
        except InputError as error:
            complaints.append(str(error))
    assert all("\n" not in complaint and str(folder) in complaint for complaint in complaints)
    return found


@pytest.mark.parametrize("told", [True, False])
def test_every_sample_comes_back_in_any_order(tmp_path: Path, told: bool) -> None:
    samples = _samples(8)
    write_shards(tmp_path / "set", samples)
    if not told:
        _forget_contents(tmp_path / "set")
    folder = ShardFolder(tmp_path / "set")
    assert len(folder) == 8
    for position in (7, 0, 3, 2, 5, 1, 4, 6, 0):
        sample = folder[position]
        assert {name: sample[name] for name in samples[position]} == samples[position]
        assert sample["__url__"] == f"{tmp_path}/set/shard-{position // 3:06d}.tar"
    assert folder.key(4) == ("s004" if told else "shard-000001.tar[1]")
    with pytest.raises(IndexError):
        folder[8]


def test_a_flipped_byte_costs_one_sample_wherever_it_is(tmp_path: Path) -> None:
    write_shards(tmp_path / "set", _samples(3))
    shard = tmp_path / "set" / "shard-000000.tar"
    content = shard.read_bytes()
    for place in range(0, len(content), 97):
        shard.write_bytes(content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :])
        assert len(_readable(tmp_path / "set", 3)) >= 2
    for place in (0, 600, 2 * 512 + 1024 + 512 + 3):
        shard.write_bytes(content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :])
        assert len(_readable(tmp_path / "set", 3)) == 2


def test_what_lies_before_the_end_of_a_truncated_shard_is_read(tmp_path: Path) -> None:
    write_shards(tmp_path / "set", _samples(4))
    shard = tmp_path / "set" / "shard-000000.tar"
    content = shard.read_bytes()
    shard.write_bytes(content[:4000])
    assert _readable(tmp_path / "set", 4) == [0, 3]
    _forget_contents(tmp_path / "set")
    assert _readable(tmp_path / "set", 4)[-1] == 3
    shard.unlink()
    assert _readable(tmp_path / "set", 4) == [3]


def test_an_index_that_lies_about_its_shards_is_noticed(tmp_path: Path) -> None:
    write_shards(tmp_path / "set", _samples(3))
    index = json.loads((tmp_path / "set" / INDEX_NAME).read_text())
    first, second, third = index["shards"][0]["contents"]
    swapped = f"s000 {' '.join(second.split()[1:])}"  # under another's name
    shifted = f"s001 {int(second.split()[1]) + 512} {second.split()[2]} {second.split()[3]}"
    index["shards"][0]["contents"] = [swapped, shifted, third]
    (tmp_path / "set" / INDEX_NAME).write_text(json.dumps(index))
    assert set(ShardFolder(tmp_path / "set")[0]) == {"__key__", "__url__"}  # no members: decoding says what is missing
    with pytest.raises(InputError, match="changed or damaged"):
        ShardFolder(tmp_path / "set")[1]
    assert ShardFolder(tmp_path / "set")[2]["__key__"] == "s002"
    index["shards"][0]["contents"] = ["s000 0 99999999999 00000000", first, third]
    (tmp_path / "set" / INDEX_NAME).write_text(json.dumps(index))
    with pytest.raises(InputError, match="no usable shards"):
        ShardFolder(tmp_path / "set")
