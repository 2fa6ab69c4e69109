"""Where each row is: sorted keys of one output over a recipe's shards. Derived from the shards, never the truth."""

from collections.abc import Sequence

import numpy as np

from cache.keys import sortable
from cache.shard import Shard


class Index:
    """Finds keys in shards without per-row Python.

    Parameters
    ----------
    shards
        The shards that hold `output`; where two hold the same key, the first one's row is used.
    output
        Name of the output.
    """

    def __init__(self, shards: Sequence[Shard], output: str) -> None:
        self.output = output
        self.shards = [shard for shard in shards if output in shard.outputs]
        keys = [sortable(shard.keys) for shard in self.shards]
        lengths = [len(k) for k in keys]
        together = np.concatenate(keys) if keys else np.empty(0, "S16")
        self._keys, first = np.unique(together, return_index=True)
        self._shard = np.repeat(np.arange(len(keys)), lengths)[first]
        self._row = (np.concatenate([np.arange(n) for n in lengths]) if lengths else np.empty(0, int))[first]

    def __len__(self) -> int:
        return len(self._keys)

    def missing(self, keys: np.ndarray) -> np.ndarray:
        """Return a mask `[n]`, true where a key of `[n, 16]` has no row."""
        wanted = sortable(keys)
        if not len(self._keys):
            return np.ones(len(wanted), bool)
        return self._keys[self._positions(wanted)] != wanted

    def read(self, keys: np.ndarray) -> np.ndarray:
        """Gather rows `[n, d]` in the order of `keys [n, 16]`, all of which must be present."""
        wanted = self._positions(sortable(keys))
        shard_of, row_of = self._shard[wanted], self._row[wanted]
        first = self.shards[0].outputs[self.output]
        rows = np.empty((len(wanted), first.shape[1]), first.dtype)
        order = np.argsort(shard_of, kind="stable")
        bounds = np.searchsorted(shard_of[order], np.arange(len(self.shards) + 1))
        for number, shard in enumerate(self.shards):
            here = order[bounds[number] : bounds[number + 1]]
            if len(here):
                rows[_as_slice(here)] = shard.outputs[self.output][_as_slice(row_of[here])]
        return rows

    def _positions(self, wanted: np.ndarray) -> np.ndarray:
        return np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)


def _as_slice(rows: np.ndarray) -> np.ndarray | slice:
    """Turn consecutive row numbers into a slice, so that reading in order is one copy."""
    start, stop = int(rows[0]), int(rows[-1]) + 1
    return slice(start, stop) if stop - start == len(rows) and (np.diff(rows) == 1).all() else rows
