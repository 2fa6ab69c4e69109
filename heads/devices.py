"""Where heads compute: on a GPU where there is one and the work is worth the way there."""

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")

WORTH_A_GPU = 2.0**30
"""Multiplications of one pass over the features for all problems; with fewer, a GPU waits for orders more than it computes."""


def choose_device(device: str, work: float | None = None) -> torch.device:
    """Return where a head computes.

    Parameters
    ----------
    device
        `auto`: CUDA where there is a device, else the CPU. Or a torch device, as it is.
    work
        Multiplications that decide whether `auto` means the GPU; None for in any case.
    """
    if device != "auto":
        return torch.device(device)
    worth = work is None or work >= WORTH_A_GPU
    return torch.device("cuda" if worth and torch.cuda.is_available() else "cpu")


def free_memory(device: torch.device) -> float:
    """Return the bytes that are free on a GPU."""
    return float(torch.cuda.mem_get_info(device)[0])


def run_on(device: torch.device, work: Callable[[torch.device], Result]) -> Result:
    """Do something on a device; where a GPU's memory does not hold it, on the CPU."""
    if device.type == "cpu":
        return work(device)
    try:
        return work(device)
    except torch.OutOfMemoryError:
        pass  # outside of this block, so that what the work held is let go of
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return work(torch.device("cpu"))
