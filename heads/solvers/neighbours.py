"""The engine of the k-NN heads: one search a fold and metric serves every `k`, vote and temperature."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import validate_data

from heads.limits import is_allowed
from heads.neighbours import KNNHead, KNNRegressor, find_nearest
from heads.scores import FLOATS
from heads.solvers.engine import FoldTask, Solved

AFTER_SEARCH = ("k", "weights", "temperature")
"""Parameters that count only when the neighbours are known."""


class NeighboursEngine:
    """Fits k-NN heads once a fold, metric and class weight, and looks their neighbours up in the search for the most.

    Every trial has the neighbours that it would find alone. Where equally near samples with other targets stand on both sides
    of its border, the search for more may have chosen others among them: such a trial searches that fold itself.
    """

    def takes(self, head: Any, task: FoldTask) -> bool:
        """Whether fitting would not refuse the parameters; weighted samples are searched one by one."""
        return task.weight is None and is_allowed(head)

    def solve(self, heads: Sequence[Any], task: FoldTask) -> Iterator[tuple[int, list[Solved]]]:
        """Search once a fold and metric, then let every head vote."""
        most = {head.metric: max(other.k for other in heads if other.metric == head.metric) for head in heads}
        known = {metric: [_search(metric, k, fold, task) for fold in range(len(task.folds))] for metric, k in most.items()}
        fitted: dict[tuple[str, int], Any] = {}
        for number, head in enumerate(heads):
            makers = [partial(_fitted, head, fold, found, task, fitted) for fold, found in enumerate(known[head.metric])]
            yield number, [Solved(None, make) for make in makers]


@dataclass(frozen=True)
class _Found:
    """The nearest training samples of one fold's test samples.

    Attributes
    ----------
    samples, queries
        `[m, d]` and `[t, d]`, as the head compares them.
    distance, rows
        `[t, k]`, nearest first, for one more than any trial asks for (or all samples).
    kind
        `[m]`, equal for training samples with equal targets.
    """

    samples: np.ndarray
    queries: np.ndarray
    distance: np.ndarray
    rows: np.ndarray
    kind: np.ndarray

    def nearest(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the first `k`, as a search for just as many finds them."""
        if k < self.rows.shape[1] and self._depends_on_ties(k):
            return find_nearest(self.samples, self.queries, k)
        return self.distance[:, :k], self.rows[:, :k]

    def _depends_on_ties(self, k: int) -> bool:
        """Whether samples that are as near as the last of `k`, and not all of one target, are partly beyond it."""
        last = self.distance[:, k - 1]
        torn = np.flatnonzero(self.distance[:, k] == last)
        tied = self.distance[torn] == last[torn, None]
        kind = self.kind[self.rows[torn]]
        other = tied & (kind != kind[:, k - 1 : k])
        unknown = tied[:, -1] & (self.rows.shape[1] < len(self.samples))
        return bool((other.any(axis=1) | unknown).any())


class _Knows:
    """Looks the neighbours of a fold's test samples up, and searches for those of any others."""

    k: int
    found: _Found

    def _search(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if np.array_equal(X, self.found.queries):
            return self.found.nearest(self.k)
        return find_nearest(self.found.samples, X, self.k)


class _KnowingHead(_Knows, KNNHead):
    pass


class _KnowingRegressor(_Knows, KNNRegressor):
    pass


def _search(metric: str, k: int, fold: int, task: FoldTask) -> _Found:
    train, test = task.folds[fold]
    # a regressor takes any numbers for targets, so that one stands for both heads
    head = KNNRegressor(metric=metric).fit(_safe_indexing(task.X, train), np.zeros(len(train)))
    samples = head.samples_
    queries = head.compared(validate_data(head, _safe_indexing(task.X, test), dtype=FLOATS, reset=False))
    distance, rows = find_nearest(samples, queries, k + 1)
    targets = np.asarray(task.y)[train]
    kind = np.arange(len(train)) if targets.dtype == object else np.unique(targets, axis=0, return_inverse=True)[1].ravel()
    return _Found(samples, queries, distance, rows, kind)


def _fitted(head: Any, fold: int, found: _Found, task: FoldTask, fitted: dict[tuple[str, int], Any]) -> Any:
    """Build the head that `fit` would leave behind, from one that was fitted for another trial where there is one."""
    params = head.get_params()
    key = (repr({name: value for name, value in params.items() if name not in AFTER_SEARCH}), fold)
    if key not in fitted:
        kind = _KnowingHead if isinstance(head, KNNHead) else _KnowingRegressor
        train = task.folds[fold][0]
        fitted[key] = kind(**params).fit(_safe_indexing(task.X, train), _safe_indexing(task.y, train))
        fitted[key].samples_, fitted[key].found = found.samples, found
    return copy.copy(fitted[key]).set_params(**params)
