"""What this machine, or the part of it that this process may use, has."""

import os
import sys
from pathlib import Path

_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux says how much memory a container may use."""


def total_memory() -> int:
    """Return the bytes of memory that this process may use at most: the machine's, or its container's."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # Windows
        return sys.maxsize
    for place in _LIMITS:
        try:
            whole = min(whole, int(place.read_text()))
        except (OSError, ValueError):  # no such file, or `max`
            continue
    return whole


def free_memory() -> int:
    """Return the bytes of memory that are free; where the system does not say, 4 GiB."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 2**32
