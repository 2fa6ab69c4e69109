"""What an engine is: something that solves many trials of one kind of head together."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_sample_weight, check_array

from heads.metrics import CONFUSION_METRICS, confusion_metric
from heads.targets import Targets, encode_labels, encode_targets

Split = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class FoldTask:
    """What trials are fitted on and judged by.

    Attributes
    ----------
    X, y
        As given to `SweepCV.fit`.
    features
        `[n, d]`, the same as plain numbers.
    classes, codes
        `[c]`, sorted, and `[n]`; an indicator `[n, c]` (bool) where samples may have several classes. No classes, and an
        indicator `[n, 0]`, where y are numbers.
    weight
        `[n]`, or None.
    folds
        (train, test) positions.
    groups
        `[n]`, of which none is both trained on and watched for early stopping, or None.
    """

    X: Any
    y: np.ndarray
    features: np.ndarray
    classes: np.ndarray
    codes: np.ndarray
    weight: np.ndarray | None
    folds: Sequence[Split]
    groups: np.ndarray | None = None

    @property
    def single(self) -> bool:
        """Whether every sample has one class."""
        return self.codes.ndim == 1

    @cached_property
    def fold_weights(self) -> np.ndarray:
        """Weights `[f, n]`: how often a fold trains on a sample, times the sample's own weight."""
        counts = [np.bincount(train, minlength=len(self.codes)) for train, _ in self.folds]
        return np.stack(counts).astype(float) * (1.0 if self.weight is None else self.weight)

    @cached_property
    def fold_classes(self) -> list[tuple[int, ...]]:
        """The codes that each fold trains on; of several labels a sample, all."""
        if not self.single:
            return [tuple(range(len(self.classes)))] * len(self.folds)
        return [tuple(np.unique(self.codes[train]).tolist()) for train, _ in self.folds]


@dataclass(frozen=True)
class Solved:
    """A trial on one fold.

    Attributes
    ----------
    predicted
        Codes `[t]` of the classes predicted for the fold's test samples, or None: then the head predicts.
    head
        Gives the fitted head.
    error
        What fitting it alone would have raised, or None.
    """

    predicted: np.ndarray | None
    head: Callable[[], BaseEstimator]
    error: Exception | None = None


class Engine(Protocol):
    """Solves trials together; `takes` says which, and all others are fitted one by one."""

    def takes(self, head: BaseEstimator, task: FoldTask) -> bool:
        """Whether this engine gives the answers of a head with these parameters on these data."""
        ...

    def solve(self, heads: Sequence[BaseEstimator], task: FoldTask) -> Iterator[tuple[int, list[Solved]]]:
        """Fit every head on every fold; yield a head's number and its folds, as they are done."""
        ...


def read_task(
    X: Any,
    y: Any,
    weight: np.ndarray | None,
    folds: Sequence[tuple[Any, Any]],
    numbers: bool = False,
    groups: np.ndarray | None = None,
) -> FoldTask | None:
    """Prepare data for an engine; None where they are not plain features with labels or, if `numbers`, with numbers.

    Then all trials go one by one, and so they do where a fold has nothing to learn or nothing to be judged on.
    """
    try:
        features = check_array(X, dtype=(np.float64, np.float32))
        classes, codes = (np.zeros(0), np.zeros((len(features), 0), bool)) if numbers else _read_labels(y)
        weight = None if weight is None else _check_sample_weight(weight, features, ensure_non_negative=True)
    except (TypeError, ValueError):
        return None
    splits = [(_positions(train, len(codes)), _positions(test, len(codes))) for train, test in folds]
    task = FoldTask(X, np.asarray(y), features, classes, codes, weight, splits, groups)
    learnable = not task.single or all(len(found) > 1 for found in task.fold_classes)
    weighty = (task.fold_weights.sum(axis=1) > 0).all()
    return task if learnable and weighty and all(len(test) for _, test in splits) else None


def _read_labels(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return classes and codes; sets of labels are refused, since what classes there are differs between folds."""
    labels = np.asarray(y)
    targets = encode_targets(y) if labels.ndim == 2 and labels.shape[1] > 1 else Targets(*encode_labels(labels))
    return targets.classes, targets.values


def known_scores(scoring: Any) -> Mapping[str, str] | None:
    """Return score's name -> metric where all that is asked for is a function of the confusion matrix, else None."""
    if scoring is None:
        return {"score": "accuracy"}
    names = {"score": scoring} if isinstance(scoring, str) else {name: name for name in scoring} if _is_names(scoring) else {}
    return names if names and set(names.values()) <= CONFUSION_METRICS else None


def score_solved(solved: Solved, fold: int, task: FoldTask, scorer: Any, known: Mapping[str, str] | None) -> dict[str, float]:
    """Score a trial on one fold: by its predictions' confusion matrix where that is enough, else by scikit-learn's scorer."""
    if solved.error is not None:
        raise solved.error
    test = task.folds[fold][1]
    weight = None if task.weight is None else task.weight[test]
    if known is None or solved.predicted is None:
        return score_head(scorer, solved.head(), _safe_indexing(task.X, test), task.y[test], weight)
    classes = len(task.classes)
    pairs = task.codes[test] * classes + solved.predicted
    counts = np.bincount(pairs, weights=weight, minlength=classes**2).reshape(1, classes, classes)
    return {name: float(confusion_metric(metric, counts)[0]) for name, metric in known.items()}


def score_head(scorer: Any, head: Any, X: Any, y: Any, weight: np.ndarray | None) -> dict[str, float]:
    """Score a fitted head by scikit-learn's scorer: name -> score."""
    found = scorer(head, X, y, **({} if weight is None else {"sample_weight": weight}))
    return found if isinstance(found, dict) else {"score": found}


@contextlib.contextmanager
def threads(jobs: int | None) -> Iterator[None]:
    """Let torch, BLAS and scikit-learn use as many threads as `n_jobs` says.

    None leaves them as they are; negative ones count from the machine's.
    """
    from joblib import cpu_count
    from threadpoolctl import threadpool_limits

    if jobs is None:
        yield
        return
    wanted, before = max(1, jobs if jobs > 0 else cpu_count() + 1 + jobs), torch.get_num_threads()
    with threadpool_limits(wanted):
        torch.set_num_threads(wanted)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _positions(rows: Any, count: int) -> np.ndarray:
    return np.arange(count)[rows]


def _is_names(scoring: Any) -> bool:
    return isinstance(scoring, list | tuple | set) and all(isinstance(name, str) for name in scoring)
