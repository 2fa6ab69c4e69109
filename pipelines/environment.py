"""What an experiment ran on: library versions, machine, command line."""

import importlib.metadata
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

DRIVER = Path("/proc/driver/nvidia/gpus")
LIBRARIES = ("headstart", "torch", "transformers", "sentence-transformers", "scikit-learn", "h5py", "numpy", "datasets")


def library_versions() -> dict[str, str | None]:
    """Return the version of every library that matters; None where it is not installed."""
    versions: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def gpus() -> list[str]:
    """Return the names of the GPUs here; without a driver's own word, of those that this process has used."""
    told = [path.read_text(encoding="utf-8") for path in sorted(DRIVER.glob("*/information"))]
    if told:
        return [line.partition(":")[2].strip() for text in told for line in text.splitlines() if line.startswith("Model:")]
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():  # to ask would take a part of the GPU's memory
        return []
    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def environment() -> dict[str, Any]:
    """Return versions, machine and command line, as they stand in a run's `environment.json`."""
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "gpus": gpus(),
        "libraries": library_versions(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
