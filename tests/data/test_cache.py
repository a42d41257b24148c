import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drip_lightning.data.cache import LocalCache
from drip_lightning.errors import InputError


def _store(cache: LocalCache, name: str, size: int) -> Path | None:
    return cache.store(name, size, lambda stream: stream.write(b"x" * size))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_an_entry_is_found_again_by_any_process(tmp_path: Path) -> None:
    assert LocalCache(tmp_path, 1000).find("a/b") is None
    path = _store(LocalCache(tmp_path, 1000), "a/b", 100)
    assert LocalCache(tmp_path, 1000).find("a/b") == path == tmp_path / "a" / "b"
    assert path.read_bytes() == b"x" * 100


def test_the_bound_holds_and_what_is_in_use_stays(tmp_path: Path) -> None:
    cache = LocalCache(tmp_path, 1000)
    stored = [_store(cache, f"{i}", 100) for i in range(20)]
    assert 8 <= sum(path is not None for path in stored) <= 10
    assert stored[0] is not None
    assert stored[0].exists()
    assert _size(tmp_path) <= 1000


def test_the_longest_unused_make_room(tmp_path: Path) -> None:
    for i in range(9):
        path = _store(LocalCache(tmp_path, 1000), f"{i}", 100)
        assert path is not None
        os.utime(path, (0, time.time() - 1000 + i))
    later = LocalCache(tmp_path, 1000)
    assert later.find("0") is not None  # used now, so it stays
    assert all(_store(later, f"new{i}", 100) for i in range(5))
    left = {path.name for path in tmp_path.iterdir()}
    assert {"0", "8", *(f"new{i}" for i in range(5))} <= left
    assert "1" not in left
    assert _size(tmp_path) <= 1000


def test_where_nothing_can_be_kept_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for cache in (LocalCache(tmp_path / "file", 1000), LocalCache(tmp_path / "none", 0)):
        assert _store(cache, "a", 10) is None
        assert cache.find("a") is None
    with pytest.raises(InputError, match="cache_bytes"):
        LocalCache(tmp_path, -1)


def test_a_killed_writer_leaves_no_entry_and_its_rest_is_removed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from drip_lightning.data.cache import LocalCache\n"
        "def write(stream): stream.write(b'half'); stream.flush(); print('begun', flush=True); time.sleep(60)\n"
        f"LocalCache(__import__('pathlib').Path({str(tmp_path)!r}), 1000).store('entry', 100, write)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    cache = LocalCache(tmp_path, 1000)
    assert cache.find("entry") is None
    (left,) = tmp_path.iterdir()
    os.utime(left, (0, 0))
    assert _store(cache, "entry", 100) is not None
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]
