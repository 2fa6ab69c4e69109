"""Stored features as an array that reads only what is asked for, for training on more than fits into memory."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cache.files import ChangedFileError
from cache.gather import gather, kind_of
from cache.index import Runs
from cache.ragged import Ragged
from cache.shard import Shard


class StoredRows:
    """An output of some samples, in a fixed order, as an array `[n, d]` on disk.

    Parameters
    ----------
    locate
        Finds the shards, and where the samples are among them; asked again when shards were joined meanwhile.
    output
        Which of the shards' outputs.
    """

    def __init__(self, locate: Callable[[], tuple[Sequence[Shard], Runs]], output: str) -> None:
        self._locate = locate
        self._output = output
        self._chosen: np.ndarray | None = None
        self._find()

    def select(self, rows: np.ndarray) -> "StoredRows":
        """Return some of the samples, by numbers `[m]` or a mask `[n]`, on disk as well; nothing is read."""
        chosen = np.arange(len(self))[rows] if self._chosen is None else self._chosen[rows]
        selected = copy.copy(self)
        selected._chosen, selected._shard, selected._row = chosen, self._shard[rows], self._row[rows]
        return selected

    def _find(self) -> None:
        self._shards, runs = self._locate()
        shard, row = runs.each()
        self._shard, self._row = shard.astype(np.uint32), row.astype(np.uint32)
        if self._chosen is not None:
            self._shard, self._row = self._shard[self._chosen], self._row[self._chosen]
        self._kind = kind_of(self._shards, runs.shard, self._output)

    def __len__(self) -> int:
        return len(self._row)

    @property
    def shape(self) -> tuple[int, int] | tuple[int, None, int]:
        """`(n, d)`, or `(n, None, d)` where samples have several vectors."""
        return (len(self), None, self._kind.width) if self._kind.ragged else (len(self), self._kind.width)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype:
        """Type of the features."""
        return self._kind.dtype

    def __getitem__(self, rows: Any) -> np.ndarray | Ragged:
        """Read a slice, a mask `[n]` or numbers `[m]` of samples; for a single number, `[d]` or `[t, d]`."""
        if isinstance(rows, int | np.integer):
            one: np.ndarray = self[np.array([rows])][0]
            return one
        try:
            return self._read(rows)
        except ChangedFileError:
            self._find()
            return self._read(rows)

    def _read(self, rows: Any) -> np.ndarray | Ragged:
        shard, row = self._shard[rows].astype(np.int64), self._row[rows].astype(np.int64)
        return gather(self._shards, shard, row, self._output, self._kind)
