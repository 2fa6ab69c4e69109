"""What trials gave: scores fold by fold, what is told after each trial, and the table that `cv_results_` is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata


@dataclass(frozen=True)
class FoldScore:
    """One trial on one fold: metric -> score, and the seconds it took; `error` is why it failed, if it did. `train_scores`
    are those on the training samples, where they are asked for.
    """

    scores: Mapping[str, float]
    fit_time: float
    score_time: float
    error: Exception | None = None
    train_scores: Mapping[str, float] | None = None


@dataclass(frozen=True)
class TrialReport:
    """What is told after a trial.

    Attributes
    ----------
    params
        What was tried.
    scores
        Metric -> mean over the folds.
    best
        Metric -> the highest mean so far, this trial's included; NaN while there is none.
    error
        Why it failed, in one line, or None.
    """

    params: Mapping[str, Any]
    scores: Mapping[str, float]
    best: Mapping[str, float]
    error: str | None = None


def mean_scores(folds: Sequence[FoldScore]) -> dict[str, float]:
    """Return metric -> mean over the folds of a trial."""
    return {name: float(np.mean([_score(fold.scores, name) for fold in folds])) for name in _names([folds])}


def deciding_score(means: Mapping[str, float], metric: str) -> float:
    """Return the score by which a trial is compared: the metric's, or the first where there is none of that name."""
    return means.get(metric, next(iter(means.values())))


def first_error(folds: Iterable[FoldScore]) -> str | None:
    """Return why a trial failed, in one line, or None."""
    return next((in_one_line(fold.error) for fold in folds if fold.error), None)


def in_one_line(error: Exception) -> str:
    """Return an error's kind and the first line of its message."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def tabulate(
    trials: Sequence[Mapping[str, Any]], scores: Sequence[Sequence[FoldScore]], notes: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    """Lay results out as `GridSearchCV.cv_results_`: one entry a trial in every array; `notes` are further columns."""
    results: dict[str, Any] = {name: np.asarray(column) for name, column in notes.items()}
    for name in ("fit_time", "score_time"):
        seconds = np.array([[getattr(fold, name) for fold in folds] for folds in scores])
        results |= {f"mean_{name}": seconds.mean(axis=1), f"std_{name}": seconds.std(axis=1)}
    for name in dict.fromkeys(name for params in trials for name in params):
        values = [params[name] for params in trials if name in params]
        are_numbers = all(isinstance(value, int | float | np.number) for value in values)  # truths, too, as in GridSearchCV
        kind = np.array(values).dtype if are_numbers else np.dtype(object)
        column = np.ma.MaskedArray(np.empty(len(trials), kind), mask=True)
        for number, params in enumerate(trials):
            if name in params:
                column[number] = params[name]
        results[f"param_{name}"] = column
    results["params"] = list(trials)
    for name in _names(scores):
        results |= _columns(f"test_{name}", [[_score(fold.scores, name) for fold in folds] for folds in scores])
        mean = results[f"mean_test_{name}"]
        worst_last = np.where(np.isnan(mean), -np.inf, mean)
        results[f"rank_test_{name}"] = rankdata(-worst_last, method="min").astype(np.int32)
        if scores[0][0].train_scores is not None:
            trained = [[_score(fold.train_scores or fold.scores, name) for fold in folds] for folds in scores]
            results |= _columns(f"train_{name}", trained)
    results["error"] = [first_error(folds) for folds in scores]
    return results


def _names(scores: Sequence[Sequence[FoldScore]]) -> list[str]:
    """Return the scores' names, as a trial that succeeded has them."""
    every = [fold for folds in scores for fold in folds]
    return list(next((fold for fold in every if fold.error is None), every[0]).scores)


def _score(scores: Mapping[str, float], name: str) -> float:
    """Return a score; of a trial that failed before its scorer could name any, what stands for all of them."""
    return scores[name] if name in scores else next(iter(scores.values()))


def _columns(name: str, table: Sequence[Sequence[float]]) -> dict[str, np.ndarray]:
    found = np.array(table, dtype=float)
    by_fold = {f"split{number}_{name}": found[:, number] for number in range(found.shape[1])}
    return by_fold | {f"mean_{name}": found.mean(axis=1), f"std_{name}": found.std(axis=1)}
