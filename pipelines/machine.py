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
