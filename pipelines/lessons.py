"""Lessons: what a head is trained on. Without augmented views that is the samples' features; with them one of three things.

    average           the mean of a sample's views; always for heads that hold samples out inside `fit` (ridge, greedy), since
                      rows of one sample would stand on both sides
    sample, in steps  `[n, v, d]`: a head that is trained step by step draws one view of a sample whenever it comes to it
    sample, at once   every view as a row of its own, with its sample's label, for all other heads

What a head is validated and tested on is `Columns.X` in any case.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cache import Ragged
from heads.inputs import select_rows
from heads.trained import TrainedHead
from pipelines.columns import Columns, ViewColumns, mean_of_views

Split = tuple[np.ndarray, np.ndarray]


def lesson(columns: Columns, rows: np.ndarray, labels: np.ndarray, head: Any) -> tuple[Any, np.ndarray]:
    """Return what a head is fitted to: features, and labels.

    Parameters
    ----------
    columns
        Of `n` samples.
    rows
        Which of them are trained on `[m]`.
    labels
        Of those `[m]`, or `[m, k]`.
    head
        Which kind it is decides how it is given views.
    """
    views = columns.views
    if views is None:
        return select_rows(columns.X, rows), labels
    places = _rows_of(views, rows)
    if _averages(views.use, head):
        return mean_of_views(views.values[places], views.count), labels
    if _draws(head):
        return views.values[places].reshape(len(rows), views.count, -1), labels
    return views.values[places], np.repeat(labels, views.count, axis=0)


def bound_together(columns: Columns, rows: np.ndarray, groups: np.ndarray | None, head: Any) -> np.ndarray | None:
    """Return the groups `[l]` of a lesson's rows, of which none is both trained on and watched; None where every row is alone.

    Parameters
    ----------
    columns, rows, head
        As for `lesson`.
    groups
        Of the samples that are trained on `[m]`, or None; the views of a sample are always a group.
    """
    each = 1 if columns.views is None else _rows_each(columns.views.count, columns.views.use, head)
    if groups is None and each > 1:
        groups = np.arange(len(rows))
    if groups is None or len(np.unique(groups)) < 2:  # of one group nothing can be watched apart
        return None
    return np.repeat(groups, each)


def sweep_lesson(
    columns: Columns, rows: np.ndarray, labels: np.ndarray, folds: Sequence[Split], head: Any
) -> tuple[Any, np.ndarray, list[Split]]:
    """Return what a sweep is fitted to: features and labels of what is trained on, then of what is validated on, and folds.

    Parameters
    ----------
    columns, rows, labels, head
        As for `lesson`.
    folds
        (train, test) positions within `rows`.
    """
    if columns.views is None:
        return select_rows(columns.X, rows), labels, list(folds)
    X, y = lesson(columns, rows, labels, head)
    plain = columns.X[rows]
    each = len(y) // len(rows)
    if isinstance(X, np.ndarray):
        if X.ndim == 3:  # a mean over equal views is that of one
            plain = np.broadcast_to(plain[:, None], X.shape)
        together: Any = np.concatenate([X, plain])
    else:
        together = Ragged.of([*X, *plain])
    taught = [(train[:, None] * each + np.arange(each)).reshape(-1) for train, _ in folds]
    return together, np.concatenate([y, labels]), [(a, len(y) + b) for a, (_, b) in zip(taught, folds, strict=True)]


def sweep_groups(columns: Columns, rows: np.ndarray, groups: np.ndarray | None, head: Any) -> np.ndarray | None:
    """Return the groups of the rows that `sweep_lesson` makes, as `bound_together` knows them."""
    bound = bound_together(columns, rows, groups, head)
    if bound is None or columns.views is None:
        return bound
    return np.concatenate([bound, bound[:: len(bound) // len(rows)]])


def count_sweep_rows(samples: int, views: int, use: str, head: Any) -> int:
    """Count the rows that `sweep_lesson` makes of samples with so many views, the plain ones with them."""
    return samples * (_rows_each(views, use, head) + 1)


def _rows_each(views: int, use: str, head: Any) -> int:
    return 1 if _averages(use, head) or _draws(head) else views


def _averages(use: str, head: Any) -> bool:
    return use == "average" or getattr(head, "validates_inside", False)


def _draws(head: Any) -> bool:
    return isinstance(head, TrainedHead) and not head.takes_tokens


def _rows_of(views: ViewColumns, rows: np.ndarray) -> np.ndarray:
    return (views.place[rows][:, None] * views.count + np.arange(views.count)).reshape(-1)
