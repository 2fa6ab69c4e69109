"""Rows from where they lie in the shards to one array in memory: whole runs read, scattered rows through memory maps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cache.errors import StoreError
from cache.index import Runs
from cache.ragged import Ragged
from cache.shard import Shard

_WORTH_A_READ = 2**15
_BLOCK_BYTES = 2**23
_DENSE = 4


@dataclass(frozen=True)
class Kind:
    """What an output's vectors are in all of some shards."""

    width: int
    dtype: np.dtype
    ragged: bool


def kind_of(shards: Sequence[Shard], numbers: np.ndarray, output: str) -> Kind:
    """Return what an output is in shards by their numbers; raises `StoreError` if it differs from shard to shard."""
    chosen = [shards[number] for number in np.unique(numbers)] or [held for held in shards if output in held.outputs][:1]
    kinds = {Kind(shard.outputs[output], shard.dtype(output), shard.is_ragged(output)) for shard in chosen}
    if len(kinds) > 1:
        told = sorted(f"{kind.width} {kind.dtype}{' ragged' if kind.ragged else ''}" for kind in kinds)
        raise StoreError(f"{shards[0].path.parent}: {output} differs from shard to shard: {', '.join(told)}")
    return kinds.pop()


def gather_runs(shards: Sequence[Shard], runs: Runs, output: str) -> np.ndarray | Ragged:
    """Read an output of the samples in runs; see `gather`."""
    kind = kind_of(shards, runs.shard, output)
    rows = int(runs.length.sum())
    if kind.ragged or rows * kind.width * kind.dtype.itemsize < _WORTH_A_READ * (len(runs.shard) - 1):
        return gather(shards, *runs.each(), output, kind)
    into = np.empty((rows, kind.width), kind.dtype)
    start = 0
    for number, row, length in zip(runs.shard.tolist(), runs.row.tolist(), runs.length.tolist(), strict=True):
        shards[number].read_rows(output, row, into[start : start + length])
        start += length
    return into


def gather(shards: Sequence[Shard], shard: np.ndarray, row: np.ndarray, output: str, kind: Kind) -> np.ndarray | Ragged:
    """Read an output of samples.

    Parameters
    ----------
    shards
        What the numbers in `shard` mean.
    shard, row
        `[n]` int64 each: where every sample is.
    output, kind
        Which of the shards' outputs, and what it is there.

    Returns
    -------
    np.ndarray or Ragged
        `[n, d]`, or `n` samples of `[t_i, d]`, in the order of `shard` and `row`. Nothing else stays in memory.
    """
    if not kind.ragged:
        return _gather_vectors(shards, shard, row, output, kind)
    starts, lengths = np.empty(len(row), np.int64), np.empty(len(row), np.int64)
    for number in np.unique(shard):
        here = shard == number
        offsets = shards[number].offsets(output)
        starts[here] = offsets[row[here]]
        lengths[here] = offsets[row[here] + 1] - starts[here]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    vectors = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    return Ragged(_gather_vectors(shards, np.repeat(shard, lengths), vectors, output, kind), offsets)


def _gather_vectors(shards: Sequence[Shard], shard: np.ndarray, row: np.ndarray, output: str, kind: Kind) -> np.ndarray:
    if not len(row) or not kind.width:
        return np.empty((len(row), kind.width), kind.dtype)
    row_bytes = kind.width * kind.dtype.itemsize
    first = int(shard[0])
    alone = bool((shard == first).all())
    if alone and not _is_dense(row, row_bytes):
        return shards[first].take_rows(output, row)
    into = np.empty((len(row), kind.width), kind.dtype)
    for number in [first] if alone else np.unique(shard).tolist():
        here = np.arange(len(row)) if alone else np.flatnonzero(shard == number)
        rows = row[here]
        if _is_dense(rows, row_bytes):
            _read_dense(shards[number], output, here, rows, into)
        else:
            into[here] = shards[number].take_rows(output, rows)
    return into


def _is_dense(rows: np.ndarray, row_bytes: int) -> bool:
    """Tell whether it is worth reading all that lies between some rows."""
    return len(rows) * row_bytes >= _WORTH_A_READ and int(rows.max()) - int(rows.min()) < _DENSE * len(rows)


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
