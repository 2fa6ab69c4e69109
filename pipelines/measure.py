"""What a piece of work costs this process: wall time and peak memory."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

EVERY = 0.02
"""Seconds between two looks at the memory."""


@dataclass
class Cost:
    """What the work cost, once it is done.

    Attributes
    ----------
    seconds
        Wall time.
    peak_bytes
        Most memory: on a GPU what torch had allocated there; else the process's resident memory, libraries and all.
    """

    seconds: float = 0.0
    peak_bytes: int = 0

    def add(self, other: "Cost") -> None:
        """Go on counting: seconds add up, of peaks the higher one stays."""
        self.seconds += other.seconds
        self.peak_bytes = max(self.peak_bytes, other.peak_bytes)


@contextmanager
def measured(device: torch.device) -> Iterator[Cost]:
    """Measure what is done inside; the cost is there afterwards."""
    cost = Cost()
    began = time.perf_counter()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        try:
            yield cost
        finally:
            torch.cuda.synchronize(device)
            cost.seconds, cost.peak_bytes = time.perf_counter() - began, torch.cuda.max_memory_allocated(device)
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(EVERY):
            cost.peak_bytes = max(cost.peak_bytes, resident_bytes())

    watcher = threading.Thread(target=watch, daemon=True)
    cost.peak_bytes = resident_bytes()
    watcher.start()
    try:
        yield cost
    finally:
        done.set()
        watcher.join()
        cost.seconds, cost.peak_bytes = time.perf_counter() - began, max(cost.peak_bytes, resident_bytes())


def resident_bytes() -> int:
    """Return the process's resident memory now; where the system does not tell, the most it ever was."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most if sys.platform == "darwin" else most * 1024)


def peak_resident_bytes() -> int:
    """Return the most resident memory that the process ever had; where the system does not tell, what it has now.

    `getrusage` would tell a child process what its parent had when it was started; Linux's `VmHWM` is the process's own.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next((line for line in status.read_text().splitlines() if line.startswith("VmHWM:")), None)
        if line is not None:
            return int(line.split()[1]) * 1024
    return resident_bytes()
