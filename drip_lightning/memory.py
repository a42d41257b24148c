"""How much memory a process may take."""

import re
from pathlib import Path
from typing import Any

UNKNOWN = 2**62
"""Bytes, where nobody tells."""
_CGROUP = Path("/sys/fs/cgroup")


def available_bytes(cgroup: Path = _CGROUP) -> int:
    """Memory that is free or can be freed at once: the machine's, or the container's if that is less.

    Args:
        cgroup: Folder of the process's control group, version 2; none there, none considered.
    """
    psutil = _psutil()
    available = UNKNOWN if psutil is None else int(psutil.virtual_memory().available)
    try:
        limit, used = (cgroup / "memory.max").read_text().strip(), int((cgroup / "memory.current").read_text())
    except FileNotFoundError:
        return available
    return available if limit == "max" else min(available, int(limit) - used)


def resident_bytes() -> int:
    """Memory that this process holds; 0 where nobody tells."""
    psutil = _psutil()
    return 0 if psutil is None else int(psutil.Process().memory_info().rss)


def _psutil() -> Any:
    """This package brings it along; code that an exported folder carries may be without."""
    try:
        import psutil  # diffusers' check of such code demands what an import names in a line of its own
    except ImportError:
        return None
    return psutil


def parse_bytes(text: str) -> int:
    """A size such as `4GB`, `512M` or `1.5GiB` in bytes.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)(i?)B?", text.strip(), re.IGNORECASE)
    if found is None:
        raise ValueError(f"expected a size such as 4GB or 512MB, got {text!r}")
    number, prefix, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** " KMGT".index(prefix.upper() or " "))
