from pathlib import Path

import psutil

from drip_lightning.memory import available_bytes


def test_the_machines_where_there_is_no_group(tmp_path: Path) -> None:
    assert 0 < available_bytes(tmp_path) <= psutil.virtual_memory().total


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.current").write_text("3000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes(tmp_path) > 1 << 20
    (tmp_path / "memory.max").write_text("10000\n")
    assert available_bytes(tmp_path) == 7000
