"""Slices: runs of consecutive samples that are extracted together and committed in the data set's order."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cache import Ragged
from extract.backbones.base import Prepared


class Slice:
    """A slice under work: its prepared samples, and their features as they come in, out of order.

    Parameters
    ----------
    start
        Where it begins among all samples.
    prepared
        Its samples.
    dtypes
        Output name -> type to store, `float32` or `float16`.

    Attributes
    ----------
    done
        `[n]`, which samples have been computed or refused.
    refused
        Row -> why a sample has no features.
    bytes, taken
        Size of the features that wait to be taken, and of those that have been.
    """

    def __init__(self, start: int, prepared: Prepared, dtypes: Mapping[str, str]) -> None:
        size = len(prepared.samples)
        self.start = start
        self.prepared = prepared
        self.costs = np.asarray(prepared.costs, dtype=np.int64)
        self.done = np.zeros(size, bool)
        self.refused: dict[int, str] = {}
        self.bytes = self.taken = 0
        self._dtypes = dtypes
        self._waiting = np.zeros(size, bool)
        self._vectors: dict[str, np.ndarray] = {}
        self._tokens: dict[str, dict[int, np.ndarray]] = {}

    @property
    def left(self) -> np.ndarray:
        """Rows that are still to be computed."""
        return np.flatnonzero(~self.done)

    def refuse(self, row: int, reason: str) -> None:
        """Leave a sample out."""
        self.refused[row] = reason
        self.done[row] = True

    def put(self, rows: np.ndarray, features: Mapping[str, Any]) -> None:
        """Take a batch's features: output name -> `[b, d]`, or a list of `b` arrays `[t, d]`."""
        good = np.ones(len(rows), bool)
        for name, values in features.items():
            with np.errstate(over="ignore"):  # what float16 cannot hold becomes infinite and is refused
                good &= self._keep_tokens(name, rows, values) if isinstance(values, list) else self._keep(name, rows, values)
        self.done[rows] = True
        self._waiting[rows[good]] = True

    def take(self) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the rows that are done and not yet taken, in order, and their features: name -> `[m, d]` or `Ragged`."""
        rows = np.flatnonzero(self._waiting)
        features: dict[str, Any] = {name: array[rows] for name, array in self._vectors.items()}
        for name, kept in self._tokens.items():
            if len(rows):
                parts = [kept.pop(row) for row in rows.tolist()]
                features[name] = Ragged(np.concatenate(parts), np.cumsum([0, *map(len, parts)], dtype=np.int64))
        self._waiting[:] = False
        self.taken += self.bytes
        self.bytes = 0
        return rows, features

    def _keep(self, name: str, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
        if name not in self._vectors:
            self._vectors[name] = np.zeros((len(self.done), values.shape[1]), self._dtypes[name])
        array = self._vectors[name]
        array[rows] = values
        self.bytes += array[0].nbytes * len(rows)
        return self._check(name, rows, np.isfinite(array[rows]).all(axis=1))

    def _keep_tokens(self, name: str, rows: np.ndarray, values: list[np.ndarray]) -> np.ndarray:
        kept = [array.astype(self._dtypes[name]) for array in values]
        self._tokens.setdefault(name, {}).update(zip(rows.tolist(), kept, strict=True))
        self.bytes += sum(array.nbytes for array in kept)
        return self._check(name, rows, np.array([np.isfinite(array).all() for array in kept], bool))

    def _check(self, name: str, rows: np.ndarray, finite: np.ndarray) -> np.ndarray:
        for row in rows[~finite].tolist():
            self.refused.setdefault(row, f"{name} is not finite in {self._dtypes[name]}")
        return finite
