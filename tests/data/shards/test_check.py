import random
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest

from drip_lightning.data.shards.check import check_folder
from tests.shards import disc_rgba, evaluation_shards, foreground_shards, picture_bytes, write_shards


def test_a_sound_folder_and_its_progress(tmp_path: Path) -> None:
    dealt: list[int] = []
    found = check_folder(foreground_shards(tmp_path / "set"), advance=dealt.append)
    assert (found.sound, found.damage, found.index.samples) == (7, (), 7)
    assert sum(dealt) == 7


@pytest.mark.parametrize("kind", [foreground_shards, evaluation_shards])
def test_a_sound_folder_is_sound_behind_any_url(tmp_path: Path, kind: Callable[[Path], str]) -> None:
    """Shards are opened as training opens them: here through fsspec, which alone knows `memory://`."""
    local, memory = kind(tmp_path / "set"), fsspec.filesystem("memory")
    memory.put(f"{local}/", f"/{kind.__name__}", recursive=True)
    found = check_folder(f"memory://{kind.__name__}")
    assert (found.sound, found.damage) == (found.index.samples, ())
    shard = f"/{kind.__name__}/shard-000000.tar"
    content = memory.cat_file(shard)
    memory.pipe_file(shard, content[:-1024])
    assert f"memory:/{shard} has {len(content) - 1024} bytes" in check_folder(f"memory://{kind.__name__}").damage[0]


def test_a_flipped_byte_is_found_wherever_it_is(tmp_path: Path) -> None:
    folder = Path(foreground_shards(tmp_path / "set"))
    shard = folder / "shard-000000.tar"
    content = shard.read_bytes()
    for place in (600, len(content) // 2, len(content) - 10):
        shard.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        found = check_folder(folder)
        assert f"{shard} was changed: its SHA-256 is not the index's" in found.damage
        assert found.sound <= 7
    shard.write_bytes(content)
    assert check_folder(folder).damage == ()


def test_a_truncated_shard_is_counted_and_the_others_go_on(tmp_path: Path) -> None:
    folder = Path(foreground_shards(tmp_path / "set"))
    shard = folder / "shard-000000.tar"
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    dealt: list[int] = []
    found = check_folder(folder, advance=dealt.append)
    assert found.damage[0] == f"{shard} has {len(content) // 2} bytes, {len(content)} are in the index"
    assert 4 <= found.sound < 7
    assert sum(dealt) == 7


def test_samples_that_no_stage_can_use_are_named(tmp_path: Path) -> None:
    """Written as they are, so that the hashes agree: only decoding shows it."""
    rgba = disc_rgba(0, 8, 8)
    samples: list[dict[str, object]] = [
        {"__key__": "good", "rgba.png": picture_bytes(rgba)},
        {"__key__": "torn", "rgba.png": picture_bytes(rgba)[:60]},
        {
            "__key__": "unequal",
            "fg.png": picture_bytes(rgba[..., :3].copy()),
            "alpha.png": picture_bytes(rgba[1:, :, 3]),
        },
        {"__key__": "lonely", "alpha.png": picture_bytes(rgba[..., 3])},
        {"__key__": "odd", "json": b"{}"},
        {"__key__": "half", "image.png": picture_bytes(np.zeros((4, 4, 3), np.uint8))},
    ]
    found = check_folder(write_shards(tmp_path / "set", samples))
    assert found.sound == 1
    assert [
        next(key for key in ("torn", "unequal", "lonely", "odd", "half") if key in line) for line in found.damage
    ] == [
        "torn",
        "unequal",
        "lonely",
        "odd",
        "half",
    ]


def test_no_mutation_is_missed_and_none_crashes(tmp_path: Path) -> None:
    folder = Path(foreground_shards(tmp_path / "set"))
    chance = random.Random(0)
    for _ in range(60):
        shard = chance.choice(sorted(folder.glob("*.tar")))
        content = shard.read_bytes()
        first, last = sorted(chance.sample(range(len(content)), 2))
        header = 512 * chance.randrange(len(content) // 512)
        mutated = chance.choice(
            [
                content[:first],
                content[:first] + content[last:],
                content[:first] + bytes([content[first] ^ 0xFF]) + content[first + 1 :],
                content[:header] + chance.randbytes(512) + content[header + 512 :],
            ]
        )
        shard.write_bytes(mutated)
        assert check_folder(folder, workers=1).damage
        shard.write_bytes(content)
    assert not check_folder(folder).damage
