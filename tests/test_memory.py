from pathlib import Path

import psutil
import pytest

from drip_lightning.memory import available_bytes, parse_bytes


def test_the_machines_where_there_is_no_group(tmp_path: Path) -> None:
    assert 0 < available_bytes(tmp_path) <= psutil.virtual_memory().total


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.current").write_text("3000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes(tmp_path) > 1 << 20
    (tmp_path / "memory.max").write_text("10000\n")
    assert available_bytes(tmp_path) == 7000


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4GB", 4 * 10**9), ("4gib", 2**32), ("1.5G", 1_500_000_000), ("512 MB", 512 * 10**6), ("1000", 1000)],
)
def test_sizes_in_bytes(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["much", "", "-4GB", "4XB", "GB"])
def test_no_sizes_in_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size such as 4GB"):
        parse_bytes(text)
