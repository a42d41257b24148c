"""How much memory a new process may take."""

from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")


def available_bytes(cgroup: Path = _CGROUP) -> int:
    """Memory that is free or can be freed at once: the machine's, or the container's if that is less.

    Args:
        cgroup: Folder of the process's control group, version 2; none there, none considered.
    """
    available = int(psutil.virtual_memory().available)
    try:
        limit, used = (cgroup / "memory.max").read_text().strip(), int((cgroup / "memory.current").read_text())
    except FileNotFoundError:
        return available
    return available if limit == "max" else min(available, int(limit) - used)
