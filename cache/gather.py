"""Rows from where they lie in the shards to one array in memory: whole runs read, scattered rows through memory maps."""

from collections.abc import Sequence

import numpy as np

from cache.errors import StoreError
from cache.ragged import Ragged
from cache.shard import Shard

_WORTH_A_READ = 2**15
_BLOCK_BYTES = 2**23
_DENSE = 4


def gather(shards: Sequence[Shard], shard: np.ndarray, row: np.ndarray, output: str) -> np.ndarray | Ragged:
    """Read an output of samples.

    Parameters
    ----------
    shards
        What the numbers in `shard` mean.
    shard, row
        `[n]` int64 each: where every sample is.
    output
        Which of the shards' outputs.

    Returns
    -------
    np.ndarray or Ragged
        `[n, d]`, or `n` samples of `[t_i, d]`, in the order of `shard` and `row`. Nothing else stays in memory.
    """
    numbers = np.unique(shard) if len(shard) else [n for n, held in enumerate(shards) if output in held.outputs][:1]
    kinds = {(shards[n].outputs[output], shards[n].is_ragged(output), shards[n].dtype(output)) for n in numbers}
    if len(kinds) > 1:
        shapes = ", ".join(f"{width} {'ragged ' if ragged else ''}{dtype}" for width, ragged, dtype in sorted(kinds, key=str))
        raise StoreError(f"{shards[0].path.parent}: {output} differs from shard to shard: {shapes}")
    ((width, ragged, dtype),) = kinds
    if not ragged:
        return _gather_vectors(shards, shard, row, output, width, dtype)
    starts, lengths = np.empty(len(row), np.int64), np.empty(len(row), np.int64)
    for number in np.unique(shard):
        here = shard == number
        offsets = shards[number].offsets(output)
        starts[here] = offsets[row[here]]
        lengths[here] = offsets[row[here] + 1] - starts[here]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    vectors = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    return Ragged(_gather_vectors(shards, np.repeat(shard, lengths), vectors, output, width, dtype), offsets)


def _gather_vectors(
    shards: Sequence[Shard], shard: np.ndarray, row: np.ndarray, output: str, width: int, dtype: np.dtype
) -> np.ndarray:
    into = np.empty((len(row), width), dtype)
    if not into.size:
        return into
    row_bytes = width * dtype.itemsize
    ends = np.flatnonzero((np.diff(row) != 1) | (np.diff(shard) != 0)) + 1
    if into.nbytes >= _WORTH_A_READ * len(ends):
        for start, stop in zip([0, *ends.tolist()], [*ends.tolist(), len(row)], strict=True):
            shards[shard[start]].read_rows(output, int(row[start]), into[start:stop])
        return into
    for number in np.unique(shard):
        here = np.flatnonzero(shard == number)
        rows = row[here]
        first, last = int(rows.min()), int(rows.max()) + 1
        if last - first <= _DENSE * len(rows) and len(rows) * row_bytes >= _WORTH_A_READ:
            _read_dense(shards[number], output, here, rows, into)
        else:
            into[here] = shards[number].map_rows(output)[rows]
    return into


def _read_dense(shard: Shard, output: str, here: np.ndarray, rows: np.ndarray, into: np.ndarray) -> None:
    """Read everything between the first and last of the rows, a block at a time, and pick the rows."""
    order = np.argsort(rows, kind="stable")
    here, rows = here[order], rows[order]
    step = max(1, _BLOCK_BYTES // (into.shape[1] * into.dtype.itemsize))
    at = 0
    while at < len(rows):
        first = int(rows[at])
        until = int(np.searchsorted(rows, first + step))
        block = np.empty((int(rows[until - 1]) + 1 - first, into.shape[1]), into.dtype)
        shard.read_rows(output, first, block)
        into[here[at:until]] = block[rows[at:until] - first]
        at = until
