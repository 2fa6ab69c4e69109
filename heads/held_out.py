"""The part of the training data that is watched while training, and the metric by which it is judged."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer
from sklearn.model_selection import train_test_split

from heads.selection import hold_out

SMALLEST_TO_SPLIT = 100


def choose_held_out(samples: int, codes: np.ndarray | None, groups: np.ndarray | None, share: float, seed: int) -> np.ndarray:
    """Choose the samples to watch while training.

    Parameters
    ----------
    samples
        How many there are; with fewer than 100, none is held out.
    codes
        Class codes `[n]` to stratify by where every class has two, or None.
    groups
        `[n]`, or None; a group is never on both sides, so that of a single one nothing is held out.
    share
        Of the samples (or groups); 0 for none.

    Returns
    -------
    mask
        `[n]`.
    """
    held_out = np.zeros(samples, bool)
    if samples < SMALLEST_TO_SPLIT or share <= 0:
        return held_out
    if groups is not None:
        if len(np.unique(groups)) < 2:
            return held_out
        return hold_out(np.zeros(samples), np.asarray(groups), share, seed)
    counts = np.zeros(0, int) if codes is None else np.bincount(codes)
    size = max(int(samples * share), len(counts), 1)
    stratify = codes if codes is not None and counts.min() >= 2 and samples - size >= len(counts) else None
    _, chosen = train_test_split(np.arange(samples), test_size=size, stratify=stratify, random_state=seed)
    held_out[chosen] = True
    return held_out


class _Predicted(BaseEstimator):
    """An estimator that has already predicted, for scorers."""

    def __init__(self, head: Any, found: Any) -> None:
        self.head, self.found = head, found
        if hasattr(head, "classes_"):
            self.classes_ = head.classes_

    def predict(self, X: Any) -> Any:
        return self.head._labels(self.found)

    def __sklearn_tags__(self) -> Any:
        return self.head.__sklearn_tags__()

    def __sklearn_is_fitted__(self) -> bool:
        return True


class _PredictedClassifier(_Predicted):
    def predict_proba(self, X: Any) -> Any:
        return self.head._probabilities(self.found)


def make_score(metric: str | Callable[..., float], head: Any, true: Any) -> Callable[[torch.Tensor], float]:
    """Return a function of a module's outputs `[n, c]` that gives a scikit-learn scorer's value; larger is better.

    Parameters
    ----------
    metric
        A scorer's name (`accuracy`, `f1_macro`, `neg_log_loss`, `r2`, ...), or a scorer.
    head
        Knows the classes, and turns outputs into labels.
    true
        Labels or values `[n]`, or an indicator `[n, c]`.
    """
    scorer = get_scorer(metric)
    kind = _PredictedClassifier if hasattr(head, "classes_") else _Predicted
    empty = np.zeros((len(true), 1))
    return lambda found: float(scorer(kind(head, found.double().cpu().numpy()), empty, true))
