"""Where heads compute: on a GPU where there is one and the work is worth the way there."""

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")

WORTH_A_GPU = 2.0**30
"""Multiplications of one pass over the features for all problems; with fewer, a GPU waits for orders more than it computes."""

_OUT_OF_MEMORY = ("out of memory", "alloc_failed", "alloc failed")
"""What CUDA's libraries say in other errors than torch's own."""


def is_usable(device: str) -> bool:
    """Whether torch can compute on a device here; `auto` means one on which it can."""
    if device in ("auto", "cpu"):
        return True
    try:
        torch.empty(0, device=device)
    except Exception:  # each kind of device says in its own way what is wrong
        return False
    return True


def training_device(device: str) -> torch.device:
    """Return where a head is trained step by step: for `auto` CUDA where there is a device, else the CPU.

    Raises
    ------
    ValueError
        If torch cannot use a device that is named.
    """
    if not is_usable(device):
        raise ValueError(f"`device` is {device!r}, which torch cannot use here; leave it out, or name cpu")
    if device != "auto":
        return torch.device(device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def solving_device(device: str, work: float) -> torch.device:
    """Return where linear problems are solved: on CUDA or the CPU, since no other device has the float64 that they take.

    Parameters
    ----------
    device
        `auto` means CUDA where there is a device and the work is worth it; or a torch device.
    work
        Multiplications of one pass over the features for all problems.
    """
    if device == "auto":
        return training_device("auto") if work >= WORTH_A_GPU else torch.device("cpu")
    asked = training_device(device)
    return asked if asked.type == "cuda" else torch.device("cpu")


def free_memory(device: torch.device) -> float:
    """Return the bytes that are free on a GPU."""
    return float(torch.cuda.mem_get_info(device)[0])


def run_on(device: torch.device, work: Callable[[torch.device], Result]) -> Result:
    """Do something on a device; where a GPU's memory does not hold it, on the CPU."""
    if device.type == "cpu":
        return work(device)
    try:
        return work(device)
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
    # outside of the block above, so that what the work held is let go of
    if device.type == "cuda" and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return work(torch.device("cpu"))


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY)
