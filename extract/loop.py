"""The extraction loop: missing samples, slice by slice, through a backbone and into the store.

A slice is a run of consecutive samples. Inside it samples are sorted by length and batched by a token budget; when it
is done it is handed to a background thread that commits it as one shard, in the data set's order. The slice's size
follows the measured speed, so that a shard is committed about every `SECONDS_PER_SHARD` and a kill loses no more than that.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from extract.backbones.base import Backbone
from extract.batching import token_budget_batches
from extract.outputs import Output

SECONDS_PER_SHARD = 15.0
BYTES_PER_SHARD = 128 * 2**20
FIRST_SLICE = 512
_TOKEN_BUDGETS = {"cpu": 2048, "mps": 8192, "cuda": 32768}

Commit = Callable[[np.ndarray, Mapping[str, np.ndarray]], Any]


class Progress(Protocol):
    """Who is told how an extraction goes."""

    def start(self, title: str, cached: int, missing: int) -> None:
        """So many samples were found in the store, and so many are about to be extracted."""

    def advance(self, samples: int) -> None:
        """So many more have been extracted."""

    def finish(self) -> None:
        """Extraction is over, in whichever way."""


def run_loop(
    backbone: Backbone,
    samples: Sequence[Any],
    keys: np.ndarray,
    outputs: Sequence[Output],
    dtype: str,
    commit: Commit,
    progress: Progress,
    *,
    device: str,
    token_budget: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> dict[bytes, str]:
    """Extract every sample and commit it. On an interruption, what has been computed is committed first.

    Parameters
    ----------
    backbone
        Loaded and frozen.
    samples, keys
        What to extract, in the data set's order, and their keys `[n, 16]`.
    outputs
        What to keep of each.
    dtype
        Type to store, `float32` or `float16`.
    commit
        Called in a background thread with keys `[m, 16]` and output name -> `[m, d]`.
    progress
        Told after every batch.
    device
        Where the backbone runs; it sets the default token budget.
    token_budget
        Most tokens in a batch, padding included; halved whenever the device is out of memory.
    clock
        Seconds, for tests.

    Returns
    -------
    dict
        Key -> reason, for samples whose features are not finite and were not committed.
    """
    budget = TokenBudget(token_budget or _TOKEN_BUDGETS.get(device.partition(":")[0], 8192))
    refused: dict[bytes, str] = {}
    size, start = FIRST_SLICE, 0
    with ThreadPoolExecutor(1, thread_name_prefix="commit") as background:
        pending: Future[Any] | None = None
        while start < len(samples):
            began = clock()
            stop = min(start + size, len(samples))
            rows = _Slice(stop - start, dtype)
            try:
                _run_slice(backbone, samples[start:stop], outputs, rows, budget, progress)
            finally:  # an interrupted slice is committed as far as it came
                if pending is not None:
                    pending.result()
                good = rows.usable(keys[start:stop], refused)
                if len(good):
                    features = {name: array[good] for name, array in rows.arrays.items()}
                    pending = background.submit(commit, keys[start + good], features)
            speed = (stop - start) / max(clock() - began, 1e-6)
            widest = sum(array[0].nbytes for array in rows.arrays.values()) or 1
            size = int(np.clip(speed * SECONDS_PER_SHARD, 1, max(1, BYTES_PER_SHARD // widest)))
            start = stop
        if pending is not None:
            pending.result()
    return refused


@dataclass
class TokenBudget:
    """How many tokens a batch may have; shrinks when the device runs out of memory and does not grow again."""

    tokens: int


class _Slice:
    """The features of a slice as they come in, out of order."""

    def __init__(self, size: int, dtype: str) -> None:
        self.done = np.zeros(size, bool)
        self.dtype = dtype
        self.arrays: dict[str, np.ndarray] = {}

    def put(self, rows: np.ndarray, features: Mapping[str, torch.Tensor]) -> None:
        for name, tensor in features.items():
            values = tensor.cpu().numpy()
            if name not in self.arrays:
                self.arrays[name] = np.zeros((len(self.done), values.shape[1]), self.dtype)
            with np.errstate(over="ignore"):  # what float16 cannot hold becomes infinite and is refused
                self.arrays[name][rows] = values
        self.done[rows] = True

    def usable(self, keys: np.ndarray, refused: dict[bytes, str]) -> np.ndarray:
        """Return the rows that are done and finite; the keys of others that are done go to `refused` with the reason."""
        finite = self.done.copy()
        for name, array in self.arrays.items():
            bad = self.done & ~np.isfinite(array).all(axis=1)
            finite &= ~bad
            refused |= {keys[row].tobytes(): f"{name} is not finite in {self.dtype}" for row in np.flatnonzero(bad)}
        return np.flatnonzero(finite)


def _run_slice(
    backbone: Backbone,
    samples: Sequence[Any],
    outputs: Sequence[Output],
    rows: _Slice,
    budget: TokenBudget,
    progress: Progress,
) -> None:
    prepared, lengths = backbone.prepare(samples)
    waiting = token_budget_batches(lengths, budget.tokens)[::-1]
    while waiting:
        batch = waiting.pop()
        try:
            features = backbone.forward([prepared[row] for row in batch], outputs)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            budget.tokens = max(1, min(budget.tokens, int(lengths[batch[0]]) * len(batch)) // 2)
            left = np.concatenate([batch, *waiting[::-1]])
            waiting = [left[part] for part in token_budget_batches([lengths[row] for row in left], budget.tokens)][::-1]
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue
        rows.put(batch, features)
        progress.advance(len(batch))
