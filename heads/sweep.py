"""Sweeps: many trials of a head, with the interface of scikit-learn's `GridSearchCV`."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_sample_weight, indexable

from heads.inputs import as_tokens
from heads.solvers.catalog import find_engine
from heads.solvers.engine import FoldTask, Solved, known_scores, read_task, score_solved, threads
from heads.targets import plain_labels


@dataclass(frozen=True)
class FoldScore:
    """One trial on one fold: metric -> score, and the seconds it took; every score is NaN if it failed with `error`."""

    scores: Mapping[str, float]
    fit_time: float
    score_time: float
    error: Exception | None = None


class SweepCV(GridSearchCV):
    """Try every combination of a grid by cross-validation and keep the best.

    Parameters and results are those of `GridSearchCV` (`cv_results_`, `best_params_`, `best_score_`, `best_estimator_`, ...),
    except that a trial that fails is recorded in `cv_results_["error"]` with scores of NaN and the others go on, that labels
    may be Arrow-backed pandas columns, and that progress can be followed.

    Parameters
    ----------
    estimator
        The head.
    param_grid
        Parameter -> values, or a list of such grids.
    scoring
        A scorer's name, a list of names, or what else `GridSearchCV` takes.
    cv
        Number of folds, a splitter, or a list of (train, test) positions.
    refit
        Fit the best trial on all the data afterwards; with several scorers, the name of the one that decides.
    n_jobs
        Fits run at the same time, in joblib's processes; its backend can be Ray or Dask.
    on_trial
        Called after every trial with metric -> mean score, for progress.

    If no trial succeeded, `fit` raises the first one's own error.
    """

    def __init__(
        self,
        estimator: Any,
        param_grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]],
        *,
        scoring: Any = None,
        cv: Any = None,
        refit: bool | str = True,
        n_jobs: int | None = None,
        on_trial: Callable[[Mapping[str, float]], None] | None = None,
    ) -> None:
        super().__init__(estimator, param_grid, scoring=scoring, cv=cv, refit=refit, n_jobs=n_jobs)
        self.on_trial = on_trial

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, groups: Any = None) -> "SweepCV":
        """Run every trial on features `[n, d]` and labels `[n]`, then refit the best.

        Parameters
        ----------
        X, y
            Features and labels.
        sample_weight
            `[n]`, given to the head's `fit` and to the scorers.
        groups
            `[n]`, given to the splitter.
        """
        X = X if (tokens := as_tokens(X)) is None else tokens
        X, y, groups = indexable(X, None if y is None else plain_labels(y), groups)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        self.scorer_ = check_scoring(self.estimator, scoring=self.scoring)
        self.multimetric_ = isinstance(self.scoring, list | tuple | set | dict)
        folds = list(check_cv(self.cv, y, classifier=is_classifier(self.estimator)).split(X, y, groups))
        self.n_splits_ = len(folds)
        trials = list(ParameterGrid(self.param_grid))
        scores = self._run(trials, X, y, weight, folds)
        self.cv_results_ = _tabulate(trials, scores)
        self._choose(trials, scores)
        if self.refit:
            began = time.monotonic()
            self.best_estimator_ = _fit(clone(self.estimator).set_params(**self.best_params_), X, y, weight)
            self.refit_time_ = time.monotonic() - began
            if hasattr(self.best_estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.best_estimator_.feature_names_in_
        return self

    def _run(
        self, trials: Sequence[dict[str, Any]], X: Any, y: Any, weight: Any, folds: Sequence[Any]
    ) -> list[list[FoldScore]]:
        """Score every trial on every fold: together those that an engine takes, one by one the others."""
        done: dict[int, list[FoldScore]] = {}
        for number, scores in itertools.chain(
            self._together(trials, X, y, weight, folds), self._one_by_one(trials, done, X, y, weight, folds)
        ):
            done[number] = scores
            if self.on_trial is not None:
                self.on_trial(_means(scores))
        return [done[number] for number in range(len(trials))]

    def _together(
        self, trials: Sequence[dict[str, Any]], X: Any, y: Any, weight: Any, folds: Sequence[Any]
    ) -> Iterator[tuple[int, list[FoldScore]]]:
        engine = find_engine(self.estimator)
        task = None if engine is None else read_task(X, y, weight, folds)
        if engine is None or task is None:
            return
        heads = {number: head for number, params in enumerate(trials) if (head := _make(self.estimator, params)) is not None}
        taken = [number for number, head in heads.items() if engine.takes(head, task)]
        if not taken:
            return
        known = known_scores(self.scoring)
        began = time.monotonic()
        with threads(self.n_jobs):
            for at, solved in engine.solve([heads[number] for number in taken], task):
                share = (time.monotonic() - began) / len(folds)
                scored = [_score(one, fold, task, self.scorer_, known, share) for fold, one in enumerate(solved)]
                yield taken[at], scored
                began = time.monotonic()

    def _one_by_one(
        self, trials: Sequence[dict[str, Any]], done: Mapping[int, Any], X: Any, y: Any, weight: Any, folds: Sequence[Any]
    ) -> Iterator[tuple[int, list[FoldScore]]]:
        left = [number for number in range(len(trials)) if number not in done]
        fits = (
            delayed(_fit_and_score)(clone(self.estimator), trials[number], self.scorer_, X, y, weight, train, test)
            for number in tuple(left)
            for train, test in folds
        )
        scores: list[FoldScore] = []
        for score in Parallel(n_jobs=self.n_jobs, return_as="generator")(fits) if left else ():
            scores.append(score)
            if len(scores) == len(folds):
                yield left.pop(0), scores
                scores = []

    def _choose(self, trials: Sequence[dict[str, Any]], scores: Sequence[Sequence[FoldScore]]) -> None:
        if all(any(fold.error for fold in folds) for folds in scores):
            raise next(fold.error for fold in scores[0] if fold.error)
        if self.multimetric_ and not isinstance(self.refit, str):
            if self.refit:
                raise ValueError("with several scorers, `refit` must name the one that decides")
            return
        metric = self.refit if isinstance(self.refit, str) and self.multimetric_ else "score"
        if f"mean_test_{metric}" not in self.cv_results_:
            raise ValueError(f"`refit` is {metric!r}, which is none of the scorers")
        self.best_index_ = int(self.cv_results_[f"rank_test_{metric}"].argmin())
        self.best_score_ = float(self.cv_results_[f"mean_test_{metric}"][self.best_index_])
        self.best_params_ = trials[self.best_index_]


def _make(estimator: Any, params: Mapping[str, Any]) -> BaseEstimator | None:
    """Return the head of a trial, or None where it cannot be made: fitted alone, it will say why."""
    try:
        return clone(estimator).set_params(**clone(params, safe=False))
    except (TypeError, ValueError):
        return None


def _score(
    solved: Solved, fold: int, task: FoldTask, scorer: Any, known: Mapping[str, str] | None, seconds: float
) -> FoldScore:
    began = time.monotonic()
    try:
        scores = score_solved(solved, fold, task, scorer, known)
        return FoldScore(scores, seconds, time.monotonic() - began)
    except Exception as error:  # a trial that fails is a result, whatever it raises
        return FoldScore(dict.fromkeys(_score_names(scorer), np.nan), seconds, 0.0, error)


def _score_names(scorer: Any) -> Iterable[str]:
    return getattr(scorer, "_scorers", {"score": scorer})


def _fit_and_score(
    head: BaseEstimator, params: Mapping[str, Any], scorer: Any, X: Any, y: Any, weight: Any, train: Any, test: Any
) -> FoldScore:
    began = time.monotonic()
    fitted = began
    try:
        head.set_params(**clone(params, safe=False))
        _fit(head, *(_rows(part, train) for part in (X, y, weight)))
        fitted = time.monotonic()
        weighted = {} if weight is None else {"sample_weight": _rows(weight, test)}
        scores = scorer(head, _rows(X, test), _rows(y, test), **weighted)
        scores = scores if isinstance(scores, dict) else {"score": scores}
        return FoldScore(scores, fitted - began, time.monotonic() - fitted)
    except Exception as error:  # a trial that fails is a result, whatever it raises
        return FoldScore(dict.fromkeys(_score_names(scorer), np.nan), fitted - began, 0.0, error)


def _fit(head: Any, X: Any, y: Any, weight: Any) -> Any:
    return head.fit(X, y) if weight is None else head.fit(X, y, sample_weight=weight)


def _rows(part: Any, rows: Any) -> Any:
    return None if part is None else _safe_indexing(part, rows)


def _means(folds: Sequence[FoldScore]) -> dict[str, float]:
    return {name: float(np.mean([fold.scores[name] for fold in folds])) for name in folds[0].scores}


def _tabulate(trials: Sequence[Mapping[str, Any]], scores: Sequence[Sequence[FoldScore]]) -> dict[str, Any]:
    """Lay results out as `GridSearchCV.cv_results_`: one entry a trial in every array."""
    results: dict[str, Any] = {}
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
    results["error"] = [next((_in_one_line(fold.error) for fold in folds if fold.error), None) for folds in scores]
    return results


def _in_one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
