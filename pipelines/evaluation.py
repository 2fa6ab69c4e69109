"""A closer look at a run than the test split's metrics: by class, by group, by confidence, and against other trials."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from heads import (
    Estimate,
    adjust_p_values,
    class_estimates,
    classification_metrics,
    corrected_resampled_t,
    label_estimates,
    multilabel_metrics,
    regression_metrics,
    reliability,
    score_groups,
)
from pipelines.choice import candidates
from pipelines.outcome import Outcome
from pipelines.task import Task
from pipelines.trials import Trial

BY_GROUP = ("accuracy", "f1_macro", "f1_micro", "mean_absolute_error", "r2")
"""The metrics that are told of groups, where a task has them."""


def look_closer(kind: str, outcome: Outcome, classes: Sequence[str], groups: Sequence[str | None] | None) -> dict[str, Any]:
    """Evaluate answers by class, by group and by confidence.

    Parameters
    ----------
    kind
        `classification`, `multilabel` or `regression`.
    outcome
        The answers.
    classes
        Names of the classes or labels.
    groups
        Every test sample's group; None where the data have none.

    Returns
    -------
    dict
        `per_class`: name, support, and metric -> value and interval (None where it is not defined); `groups`: name, samples and
        metrics of the largest groups of 20 test samples or more; `reliability`: a calibration curve, or None.
    """
    scores: list[dict[str, Estimate | None]] = []
    support = np.zeros(0, int)
    if kind == "classification":
        scores = class_estimates(outcome.true, outcome.predicted, outcome.probabilities, len(classes))
        support = np.bincount(outcome.true, minlength=len(classes))
    elif kind == "multilabel":
        scores, support = label_estimates(outcome.true, outcome.predicted, outcome.probabilities), outcome.true.sum(axis=0)
    by_class = [
        {"name": name, "support": count, **{metric: _plain(value) for metric, value in row.items()}}
        for name, count, row in zip(classes, support.tolist(), scores, strict=bool(scores))
    ]
    by_group = []
    for found in score_groups(groups or (), lambda rows: _score(kind, outcome, len(classes), rows)):
        metrics = {name: _plain(value) for name, value in found.metrics.items() if name in BY_GROUP}
        by_group.append({"name": found.name, "samples": found.samples, "metrics": metrics})
    return {"per_class": by_class, "groups": by_group, "reliability": _reliability(outcome)}


def stand_trials(ranked: list[Trial], chosen: Trial, metric: str, task: Task) -> list[dict[str, Any]]:
    """Compare the chosen trial over the folds with the best trial of every other head and combination of outputs.

    Returns
    -------
    list of dict
        The other trial's head, params, backbone and output; `mean`, `low`, `high` of the chosen one's advantage; its `p` by the
        corrected resampled t-test, adjusted for so many comparisons. Nothing where there are no folds.
    """
    others = [trial for trial in candidates(ranked, metric) if trial is not chosen]
    folds = len(chosen.folds.get(metric, ()))
    if folds < 2 or not others:
        return []
    samples = len(task.development)
    found = [
        corrected_resampled_t(
            np.subtract(chosen.folds[metric], other.folds[metric]), samples * (folds - 1) / folds, samples / folds
        )
        for other in others
    ]
    adjusted = adjust_p_values([difference.p for difference in found]).tolist()
    return [
        {"head": trial.head, "params": trial.params, "backbone": trial.backbone, "output": trial.output}
        | {"mean": difference.mean, "low": difference.low, "high": difference.high, "p": p}
        for trial, difference, p in zip(others, found, adjusted, strict=True)
    ]


def _score(kind: str, outcome: Outcome, classes: int, rows: np.ndarray) -> dict[str, Estimate]:
    true, predicted = outcome.true[rows], outcome.predicted[rows]
    if kind == "classification":
        return classification_metrics(true, predicted, None, classes, resamples=500)
    if kind == "multilabel":
        return multilabel_metrics(true, predicted, None, resamples=100)
    return regression_metrics(true, predicted, resamples=100)


def _reliability(outcome: Outcome) -> dict[str, Any] | None:
    if outcome.probabilities is None or not len(outcome.true):
        return None
    if outcome.true.ndim == 2:
        sure, right = outcome.probabilities.ravel(), outcome.true.ravel() > 0
    else:
        sure = outcome.probabilities[np.arange(len(outcome.true)), outcome.predicted]
        right = outcome.predicted == outcome.true
    return dataclasses.asdict(reliability(sure, right))


def _plain(value: Estimate | None) -> dict[str, float] | None:
    return None if value is None else dataclasses.asdict(value)
