"""Stage 2: sweep heads over cached features, choose one by validation, test it once."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning, UndefinedMetricWarning
from sklearn.model_selection import ParameterGrid

from extract import Features
from heads import (
    Estimate,
    SweepCV,
    classification_metrics,
    confusion_matrix,
    head_class,
    make_head,
)
from pipelines.config import Config
from pipelines.errors import TrainingError, UsageError
from pipelines.extract import Extraction
from pipelines.task import Task

SCORES = ("accuracy", "balanced_accuracy", "f1_macro", "f1_weighted")


class Score(NamedTuple):
    """A trial's mean and standard deviation over the folds; NaN where it failed."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Trial:
    """One head configuration on one output of one backbone, validated.

    Attributes
    ----------
    scores
        Metric -> score.
    fit_seconds
        Mean over the folds.
    error
        Why it failed, or None.
    """

    head: str
    params: dict[str, Any]
    backbone: str
    recipe: str
    output: str
    scores: dict[str, Score]
    fit_seconds: float
    error: str | None = None


@dataclass(frozen=True)
class Result:
    """What training gave.

    Attributes
    ----------
    trials
        Best first.
    head
        The winner, fitted on all samples that are not test.
    classes
        Names of the classes: the head's, then any that only the test split has.
    true, predicted
        Class codes `[t]` of the test samples.
    probabilities
        `[t, c]`, or None.
    rows
        `[t]`, where the test samples are in the source.
    """

    trials: list[Trial]
    head: BaseEstimator
    classes: list[str]
    true: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray | None
    rows: np.ndarray
    metrics: dict[str, Estimate]
    seconds: float

    @property
    def selected(self) -> Trial:
        """The winner."""
        return self.trials[0]

    @property
    def confusion(self) -> np.ndarray:
        """`[c, c]`, rows true and columns predicted."""
        return confusion_matrix(self.true, self.predicted, len(self.classes))


def check_heads(config: Config) -> None:
    """See that every head in a config exists and has the parameters named, before anything costs time.

    Raises
    ------
    UsageError
        With the line of the one that does not.
    """
    for number, head in enumerate(config.heads):
        try:
            grid = head.grid()
        except ValueError as error:
            raise UsageError(f"{config.where('heads', number)}: the values of {head.kind} cannot be spread: {error}") from error
        try:
            head_class(head.kind)
        except ValueError as error:
            raise UsageError(f"{config.where('heads', number, 'kind')}: {error}") from error
        for name, values in grid.items():
            try:
                make_head(head.kind, **{name: values[0] if values else None})
            except ValueError as error:
                raise UsageError(f"{config.where('heads', number, name)}: {error}") from error
            if not values:
                raise UsageError(f"{config.where('heads', number, name)}: `{name}` has no value to try")


def train(config: Config, extraction: Extraction, task: Task, on_trial: Callable[[float], None] | None = None) -> Result:
    """Run every trial, choose the best by its validation score, refit it and test it once.

    Parameters
    ----------
    config, extraction, task
        What to do, on what.
    on_trial
        Told after every trial its score on the metric that decides.

    Raises
    ------
    TrainingError
        If trials cannot be validated or none succeeded, with the first one's reason.
    """
    began = time.monotonic()
    with warnings.catch_warnings():
        for expected in (ConvergenceWarning, UndefinedMetricWarning):
            warnings.simplefilter("ignore", expected)
        for told in ("The least populated class", "y_pred contains classes", "The number of unique classes"):
            warnings.filterwarnings("ignore", told)  # the task's notes say what matters of these
        trials = _run_trials(config, extraction, task, on_trial)
        metric = config.selection.metric
        trials.sort(key=lambda trial: -np.nan_to_num(trial.scores[metric].mean, nan=-np.inf))
        if not np.isfinite(trials[0].scores[metric].mean):
            raise TrainingError(f"no trial succeeded; the first failed with {trials[0].error}")
        features = next(f for f in extraction.features if f.recipe.id == trials[0].recipe)
        X = _features(features, trials[0].output, task)
        head = make_head(trials[0].head, **trials[0].params).fit(X[~task.test], task.labels[~task.test])
    return _test(head, X[task.test], task, trials, config.selection.seed, began)


def count_trials(config: Config, extraction: Extraction) -> int:
    """Count the trials that `train` will run."""
    outputs = sum(len(features.outputs) for features in extraction.features)
    return outputs * sum(len(ParameterGrid(head.grid())) for head in config.heads)


def _run_trials(config: Config, extraction: Extraction, task: Task, on_trial: Callable[[float], None] | None) -> list[Trial]:
    chosen, metric = task.development, config.selection.metric
    try:
        folds = task.folds(config.selection.folds, config.selection.seed)
    except ValueError as error:
        raise TrainingError(f"trials cannot be validated: {error}; set `selection.folds` lower") from error
    trials: list[Trial] = []
    for features in extraction.features:
        for output in features.outputs:
            X = _features(features, output, task)[chosen]
            for head in config.heads:
                sweep = SweepCV(
                    make_head(head.kind),
                    head.grid(),
                    scoring=sorted({*SCORES, metric}),
                    cv=folds,
                    refit=False,
                    on_trial=on_trial and (lambda scores: on_trial(scores[metric])),
                )
                try:
                    sweep.fit(X, task.labels[chosen])
                except Exception as error:  # every trial of this head failed; others may not
                    if not hasattr(sweep, "cv_results_"):
                        raise TrainingError(f"{head.kind}: {error}") from error
                trials += _read_trials(sweep.cv_results_, head.kind, features, output)
    return trials


def _read_trials(results: dict[str, Any], kind: str, features: Features, output: str) -> list[Trial]:
    names = [key.removeprefix("mean_test_") for key in results if key.startswith("mean_test_")]
    return [
        Trial(
            head=kind,
            params=params,
            backbone=features.recipe.backbone,
            recipe=features.recipe.id,
            output=output,
            scores={
                name: Score(float(results[f"mean_test_{name}"][number]), float(results[f"std_test_{name}"][number]))
                for name in names
            },
            fit_seconds=float(results["mean_fit_time"][number]),
            error=results["error"][number],
        )
        for number, params in enumerate(results["params"])
    ]


def _features(features: Features, output: str, task: Task) -> Any:
    """Return one output's features `[n, d]` of the task's samples (tokens ragged)."""
    place = np.searchsorted(features.rows, task.rows)
    return features.store.read(features.recipe, features.keys[place], output)


def _test(head: Any, X: np.ndarray, task: Task, trials: list[Trial], seed: int, began: float) -> Result:
    """Let the winner predict the test samples, once."""
    known = [str(name) for name in head.classes_]
    truth = task.labels[task.test]
    classes = known + sorted(set(truth.tolist()) - set(known))
    code = {name: number for number, name in enumerate(classes)}
    true = np.array([code[name] for name in truth])
    predicted = np.array([code[str(name)] for name in head.predict(X)])
    probabilities = None
    if hasattr(head, "predict_proba"):
        probabilities = np.zeros((len(true), len(classes)))
        probabilities[:, : len(known)] = head.predict_proba(X)
    metrics = classification_metrics(true, predicted, probabilities, len(classes), seed=seed)
    rows = task.rows[task.test]
    return Result(trials, head, classes, true, predicted, probabilities, rows, metrics, time.monotonic() - began)
