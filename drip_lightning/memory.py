"""How much memory a new process may take."""

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
