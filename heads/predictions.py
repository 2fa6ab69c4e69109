"""What a head says of samples, in one form for every kind of target, so that it can be averaged, calibrated and compared.

Classification: `[n, c]` probabilities over all classes of the task. Multi-label: `[n, k]`, each label's own probability.
Regression: `[n]` numbers.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)


def gives_probabilities(head: Any) -> bool:
    """Tell whether a fitted head says how sure it is."""
    return hasattr(head, "predict_proba")


def class_probabilities(head: Any, X: Any, classes: Sequence[Any]) -> np.ndarray:
    """Return probabilities `[n, c]` in the order of `classes`, which may hold some that the head has not seen.

    A head without probabilities gives all to the class that it predicts.
    """
    place = {name: number for number, name in enumerate(classes)}
    table = np.zeros((len(X), len(classes)))
    if gives_probabilities(head):
        table[:, [place[name] for name in head.classes_.tolist()]] = head.predict_proba(X)
    else:
        table[np.arange(len(X)), [place[name] for name in head.predict(X).tolist()]] = 1
    return table


def label_probabilities(head: Any, X: Any) -> np.ndarray:
    """Return each label's probability `[n, k]`; 0 or 1 where a head has none.

    Some of scikit-learn's classifiers give a table for every label, or a single column for a label that is always the same.
    """
    if not gives_probabilities(head):
        return np.asarray(head.predict(X), dtype=float)
    tables = head.predict_proba(X)
    if isinstance(tables, list):
        columns = [
            table[:, 1] if table.shape[1] == 2 else np.full(len(X), float(classes[0]))
            for table, classes in zip(tables, head.classes_, strict=True)
        ]
        return np.stack(columns, axis=1)
    return np.asarray(tables, dtype=float)


def score_predictions(predictions: np.ndarray, true: np.ndarray, metric: str) -> float:
    """Score predictions in this form by the name of a scikit-learn scorer; higher is better.

    Parameters
    ----------
    predictions, true
        `[n, c]` and class codes `[n]`; `[n, k]` and 0 and 1 `[n, k]`; or `[n]` and numbers `[n]`.
    metric
        Such as `accuracy`, `f1_macro`, `neg_log_loss`, `average_precision`, `r2`.

    Raises
    ------
    ValueError
        If no metric is called that.
    """
    if metric in _OF_PREDICTIONS:
        return float(_OF_PREDICTIONS[metric](true, predictions))
    if metric in _OF_ANSWERS:
        answers = (predictions >= 0.5).astype(int) if true.ndim == 2 else predictions.argmax(axis=1)
        return float(_OF_ANSWERS[metric](true, answers))
    raise ValueError(f"`{metric}` is no metric; metrics are {', '.join((*_OF_ANSWERS, *_OF_PREDICTIONS))}")


_OF_ANSWERS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy_score,
    "balanced_accuracy": balanced_accuracy_score,
    "f1_macro": lambda true, answers: f1_score(true, answers, average="macro", zero_division=0),
    "f1_micro": lambda true, answers: f1_score(true, answers, average="micro", zero_division=0),
    "f1_weighted": lambda true, answers: f1_score(true, answers, average="weighted", zero_division=0),
}
_OF_PREDICTIONS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "neg_log_loss": lambda true, predictions: -log_loss(true, predictions, labels=np.arange(predictions.shape[1])),
    "average_precision": lambda true, predictions: average_precision_score(true, predictions, average="macro"),
    "r2": r2_score,
    "neg_mean_absolute_error": lambda true, predictions: -mean_absolute_error(true, predictions),
    "neg_root_mean_squared_error": lambda true, predictions: -root_mean_squared_error(true, predictions),
}
