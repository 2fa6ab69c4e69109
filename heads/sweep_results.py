"""What trials gave: scores fold by fold, what is told after each trial, and the table that `cv_results_` is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata


@dataclass(frozen=True)
class FoldScore:
    """One trial on one fold: metric -> score, and the seconds it took; `error` is why it failed, if it did."""

    scores: Mapping[str, float]
    fit_time: float
    score_time: float
    error: Exception | None = None


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
    return {name: float(np.mean([fold.scores[name] for fold in folds])) for name in folds[0].scores}


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
        column = np.ma.MaskedArray(np.empty(len(trials), object), mask=True)
        for number, params in enumerate(trials):
            if name in params:
                column[number] = params[name]
        results[f"param_{name}"] = column
    results["params"] = list(trials)
    for name in scores[0][0].scores:
        table = np.array([[fold.scores[name] for fold in folds] for folds in scores], dtype=float)
        results |= {f"split{number}_test_{name}": table[:, number] for number in range(table.shape[1])}
        mean = table.mean(axis=1)
        results |= {f"mean_test_{name}": mean, f"std_test_{name}": table.std(axis=1)}
        worst_last = np.where(np.isnan(mean), -np.inf, mean)
        results[f"rank_test_{name}"] = rankdata(-worst_last, method="min").astype(np.int32)
    results["error"] = [first_error(folds) for folds in scores]
    return results
