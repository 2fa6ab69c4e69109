"""Energy, where the machine tells: NVIDIA's counter (NVML) for a GPU, Intel's and AMD's (RAPL) for processor packages."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Counter:
    """A running count of energy.

    Attributes
    ----------
    source
        `NVML` or `RAPL`.
    read
        Returns joules since some moment.
    wraps_at
        Joules at which the count begins anew; None for never.
    """

    source: str
    read: Callable[[], float]
    wraps_at: float | None = None


class EnergyMeter:
    """Measures what is used from its making on; of a processor that is all processes' use, not this one's alone.

    Parameters
    ----------
    device
        What computes: a GPU's counter is read for `cuda`, beside the processors' in any case.
    powercap
        Where Linux shows the processors' counters.
    """

    def __init__(self, device: str, powercap: Path = POWERCAP) -> None:
        self._counters = [*_nvml(device), *_rapl(powercap)]
        self._before = [counter.read() for counter in self._counters]

    @property
    def source(self) -> str | None:
        """Which counters are read, such as `NVML+RAPL`; None where there is none: then energy cannot be measured here."""
        return "+".join(dict.fromkeys(counter.source for counter in self._counters)) or None

    def joules(self) -> float | None:
        """Return what was used so far; None where it cannot be measured."""
        if not self._counters:
            return None
        used = 0.0
        for counter, before in zip(self._counters, self._before, strict=True):
            now = counter.read()
            used += now - before + (counter.wraps_at or 0.0 if now < before else 0.0)
        return used


def _rapl(powercap: Path) -> list[Counter]:
    """Return the counters of processor packages that this process may read."""
    found = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        if zone.name.count(":") > 1:  # a part of a package
            continue
        try:
            int((zone / "energy_uj").read_text())
            most = int((zone / "max_energy_range_uj").read_text())
        except (OSError, ValueError):  # since 2020 only root may read it
            continue
        found.append(Counter("RAPL", lambda zone=zone: int((zone / "energy_uj").read_text()) / 1e6, most / 1e6))  # type: ignore[misc]
    return found


def _nvml(device: str) -> list[Counter]:
    if not device.startswith("cuda") or importlib.util.find_spec("pynvml") is None:
        return []
    import pynvml
    import torch

    try:
        pynvml.nvmlInit()
        uuid = str(torch.cuda.get_device_properties(torch.device(device)).uuid)
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception:  # no driver, an old card: whatever the library raises, energy is then unknown
        return []
    return [Counter("NVML", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3)]
