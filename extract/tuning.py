"""`budget: auto`: a short measured search for the batch size with the highest throughput, remembered on this machine."""

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cache import StoreError
from cache.atomic import write_atomically
from extract.acceleration import arithmetic
from extract.backbones.base import Backbone, Prepared
from extract.devices import default_budget, is_out_of_memory
from extract.options import LoopOptions
from extract.outputs import Output

SECONDS = 10.0
SAMPLES = 256
_FACTORS = (0.25, 0.5, 1, 2, 4)
_WORTH = 1.03  # what a larger batch must win by, since it takes more memory


def tuned_budget(
    backbone: Backbone,
    samples: Sequence[Any],
    outputs: Sequence[Output],
    device: str,
    identity: str,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """Return the budget that computes most per second, measured on a few samples of middling cost unless it is known.

    Batches from a quarter to four times the device's default are run twice each, smallest first, until one is too large for
    the memory, the rate falls, or `SECONDS` are over.

    Parameters
    ----------
    backbone, outputs, device
        What runs, for what, and where.
    samples
        Some of the samples; at most `SAMPLES` are looked at.
    identity
        Names the backbone and its settings in the memory of this machine.
    clock
        Seconds, for tests.
    """
    default = default_budget(backbone.unit, device)
    if backbone.decode is not None:
        return default  # decoding decides, not the batch
    place = f"{identity} {_device_name(device)} {len(outputs)} outputs"
    known = _remembered().get(place)
    if isinstance(known, int):
        return known
    prepared = backbone.prepare(samples[:SAMPLES])
    best, rate, began = default, 0.0, clock()
    for factor in _FACTORS:
        budget = max(1, int(default * factor))
        try:
            found = _rate(backbone, prepared, outputs, device, budget, clock)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            break
        if found > rate * _WORTH:
            best, rate = budget, found
        elif found < rate / _WORTH:
            break
        if clock() - began > SECONDS:
            break
    _remember(place, best)
    return best


def _rate(
    backbone: Backbone, prepared: Prepared, outputs: Sequence[Output], device: str, budget: int, clock: Callable[[], float]
) -> float:
    """Return the cost per second of a batch of one middling sample as often as the budget allows, the better of two runs."""
    middle = int(np.argsort(prepared.costs)[len(prepared.costs) // 2])
    cost = prepared.costs[middle]
    count = max(1, budget // max(1, cost))
    batch = {name: tensor.to(device) for name, tensor in backbone.collate([prepared.samples[middle]] * count).items()}
    seconds = []
    for _ in range(2):
        began = clock()
        with arithmetic(device, LoopOptions()):
            backbone.forward(batch, outputs)
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        seconds.append(clock() - began)
    return count * cost / max(min(seconds), 1e-9)


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{device} {torch.get_num_threads()} threads"


def _file() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headstart" / "budgets.json"


def _remembered() -> dict[str, Any]:
    try:
        known = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(place: str, budget: int) -> None:
    try:
        write_atomically(_file(), json.dumps(_remembered() | {place: budget}, indent=1).encode())
    except StoreError:
        return  # measured again next time
