"""Held-out predictions: what trials say of development samples that they were not fitted to."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from heads import class_probabilities, label_probabilities
from heads.inputs import select_rows
from heads.trained import TrainedHead
from pipelines.columns import Columns
from pipelines.config import Config
from pipelines.extract import Extraction
from pipelines.lessons import bound_together, lesson
from pipelines.task import Task
from pipelines.trials import Trial, build, columns_of


@dataclass(frozen=True)
class HeldOut:
    """Each trial's predictions of the same samples (see `heads.predictions`), and the truth in the same form.

    Attributes
    ----------
    predictions
        One array a trial: `[m, c]`, `[m, k]` or `[m]`.
    true
        Class codes `[m]`, 0 and 1 `[m, k]`, or numbers `[m]`.
    """

    predictions: list[np.ndarray]
    true: np.ndarray


def hold_out_predictions(trials: list[Trial], config: Config, extraction: Extraction, task: Task) -> HeldOut:
    """Fit trials on the training part of every fold once more and collect what they say of the other part."""
    folds = task.folds(config.selection.folds, config.selection.seed)
    held = np.concatenate([test for _, test in folds])
    development = task.development
    predictions = []
    for trial in trials:
        columns = columns_of(trial, extraction, task)
        parts = []
        for train, test in folds:
            head = _fit(trial, columns, task, development[train])
            parts.append(predict_raw(head, select_rows(columns.X, development[test]), task))
        predictions.append(np.concatenate(parts))
    return HeldOut(predictions, true_codes(task, development[held]))


def fit_on_development(trial: Trial, columns: Columns, task: Task) -> Any:
    """Fit a trial's head on all development samples."""
    return _fit(trial, columns, task, task.development)


def _fit(trial: Trial, columns: Columns, task: Task, rows: np.ndarray) -> Any:
    head = build(trial.head, trial.params | trial.given, task.kind)
    X, y = lesson(columns, rows, task.labels[rows], head)
    if isinstance(head, TrainedHead):
        groups = None if task.groups is None else task.groups[rows]
        return head.fit(X, y, groups=bound_together(columns, rows, groups, head))
    return head.fit(X, y)


def predict_raw(head: Any, X: Any, task: Task) -> np.ndarray:
    """Return what a head says of samples, in the form of `heads.predictions`, over the classes that can be learnt."""
    if task.kind == "classification":
        return class_probabilities(head, X, task.classes.tolist())
    if task.kind == "multilabel":
        return label_probabilities(head, X)
    return np.asarray(head.predict(X), dtype=float)


def true_codes(task: Task, rows: np.ndarray) -> np.ndarray:
    """Return the targets of some samples; classes as codes among those that can be learnt."""
    return np.searchsorted(task.classes, task.labels[rows]) if task.kind == "classification" else task.labels[rows]
