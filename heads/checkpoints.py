"""Checkpoints: everything that the next epoch depends on, in one file that is whole or not there."""

import hashlib
import os
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

FILE = "training.pt"


def fingerprint(description: str, arrays: Iterable[np.ndarray]) -> str:
    """Return what tells one training from another: its settings and the data that shape it."""
    digest = hashlib.blake2b(description.encode(), digest_size=16)
    for array in arrays:
        digest.update(str((array.shape, array.dtype)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def save_checkpoint(folder: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint in the place of the last one."""
    folder.mkdir(parents=True, exist_ok=True)
    building = folder / f".{FILE}.{os.getpid()}"
    with open(building, "wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(building, folder / FILE)


def load_checkpoint(folder: Path, expected: str, device: torch.device) -> dict[str, Any] | None:
    """Return the checkpoint of the training that is expected; None if there is none, or it is another's, or damaged.

    Only tensors and plain values are read; nothing is unpickled besides.
    """
    try:
        content = torch.load(folder / FILE, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError):
        return None
    found = content.get("fingerprint") if isinstance(content, dict) else None
    return content if found == expected else None
