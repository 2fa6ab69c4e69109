"""Stored features as an array that reads only what is asked for, for training on more than fits into memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cache.gather import gather
from cache.ragged import Ragged
from cache.shard import Shard


class StoredRows:
    """An output of some samples, in a fixed order, as an array `[n, d]` on disk.

    Parameters
    ----------
    shards, shard, row
        The shards, and where every sample is among them: its shard's number and its row, `[n]` each.
    output
        Which of the shards' outputs.
    """

    def __init__(self, shards: Sequence[Shard], shard: np.ndarray, row: np.ndarray, output: str) -> None:
        self._shards = shards
        self._shard = shard.astype(np.uint32)
        self._row = row.astype(np.uint32)
        self._output = output
        self._first = next(held for held in shards if output in held.outputs)

    def __len__(self) -> int:
        return len(self._row)

    @property
    def shape(self) -> tuple[int, int] | tuple[int, None, int]:
        """`(n, d)`, or `(n, None, d)` where samples have several vectors."""
        width = self._first.outputs[self._output]
        return (len(self), None, width) if self._first.is_ragged(self._output) else (len(self), width)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype:
        """Type of the features."""
        return self._first.dtype(self._output)

    def __getitem__(self, rows: Any) -> np.ndarray | Ragged:
        """Read a slice, a mask `[n]` or numbers `[m]` of samples; for a single number, `[d]` or `[t, d]`."""
        if isinstance(rows, int | np.integer):
            one: np.ndarray = self[np.array([rows])][0]
            return one
        shard, row = self._shard[rows].astype(np.int64), self._row[rows].astype(np.int64)
        return gather(self._shards, shard, row, self._output)
