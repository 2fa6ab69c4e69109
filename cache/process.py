"""Who is writing: a name for this process, and whether the process behind such a name still lives."""

import functools
import hashlib
import os
import platform
import time
from pathlib import Path

PRESUMED_DEAD = 24 * 3600.0
"""Seconds without a sign of life after which a process of another machine counts as dead."""


def this_process() -> str:
    """Return `<machine>-<pid>`: where two processes share a machine's name, one can look up the other's pid."""
    return f"{_machine()}-{os.getpid()}"


def is_alive(process: str, last_sign: float, patience: float = PRESUMED_DEAD) -> bool:
    """Tell whether a process still lives.

    Parameters
    ----------
    process
        What `this_process` returned there.
    last_sign
        When it last gave a sign of life, in seconds since the epoch; decides for other machines' processes.
    patience
        Seconds after that for which such a process is believed to live.
    """
    machine, _, pid = process.rpartition("-")
    if machine == _machine() and pid.isdecimal():
        return _runs(int(pid))
    return time.time() - last_sign < patience


@functools.cache
def _machine() -> str:
    """Hash what tells one table of processes from another: host, boot, and on Linux the container's process namespace."""
    marks = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            marks.append(os.readlink(path) if path.endswith("pid") else Path(path).read_text().strip())
        except OSError:
            marks.append("")
    return hashlib.blake2b("\n".join(marks).encode(), digest_size=6).hexdigest()


def _runs(pid: int) -> bool:
    if os.name == "nt":  # signal 0 would end the process there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return not _has_ended(pid)


def _has_ended(pid: int) -> bool:
    """Tell, on Linux, whether a process has ended and waits for its parent to take note, which some parents never do."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[:1] in (["Z"], ["X"])
