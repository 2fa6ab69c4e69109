"""What a cell's work costs, stage by stage: wall and processor seconds, peak memory, energy."""

import importlib
import importlib.util
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pipelines.compare.energy import EnergyMeter
from pipelines.measure import peak_resident_bytes, resident_bytes

LIBRARIES = {"st": "sentence_transformers", "hf": "transformers", "timm": "timm", "open_clip": "open_clip"}
"""What a backbone of a scheme is loaded with."""


def import_library(backbone: str) -> None:
    """Import what a backbone is loaded with, so that it counts neither as its memory nor as its loading."""
    from extract import find_backbone

    library = LIBRARIES.get(find_backbone(backbone).scheme)
    if library is not None and importlib.util.find_spec(library) is not None:
        importlib.import_module(library)


class Stages:
    """Measures a process's work from its making on; make it when libraries are imported and nothing is loaded yet.

    Parameters
    ----------
    device
        What computes.

    Attributes
    ----------
    seconds, cpu_seconds
        Stage -> wall time, and processor time of all threads of this process.
    """

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}
        self._idle_bytes = resident_bytes()
        self._energy = EnergyMeter(device)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what is done inside."""
        began, processor = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
            self.cpu_seconds[name] = self.cpu_seconds.get(name, 0.0) + time.process_time() - processor

    def to_json(self) -> dict[str, Any]:
        """Return what was measured, for a cell's record: seconds, bytes and joules."""
        on_gpu = self.device.type == "cuda"
        return {
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "memory": {
                "libraries": self._idle_bytes,
                "process": peak_resident_bytes(),
                "device": torch.cuda.max_memory_allocated(self.device) if on_gpu else None,
            },
            "energy": {"joules": self._energy.joules(), "source": self._energy.source},
        }
