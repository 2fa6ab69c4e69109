"""Sweeps: many trials of a head, with the interface of scikit-learn's `GridSearchCV`."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from joblib.parallel import get_active_backend
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_sample_weight, has_fit_parameter, indexable

from heads.inputs import as_tokens, is_on_disk, select_rows
from heads.solvers.catalog import find_engine
from heads.solvers.engine import FoldTask, Solved, known_scores, read_task, score_head, score_solved, threads
from heads.sweep_results import FoldScore, TrialReport, deciding_score, first_error, mean_scores, tabulate
from heads.targets import hold_sets, with_names


class SweepCV(GridSearchCV):
    """Try every combination of a grid by cross-validation and keep the best.

    Parameters and results are those of `GridSearchCV` (`cv_results_`, `best_params_`, `best_score_`, `best_estimator_`, ...),
    except that `cv_results_["error"]` says why a trial failed, that labels may be Arrow-backed pandas columns, and that
    progress can be followed.

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
        Fit the best trial on all the data afterwards; with several scorers, the name of the one that decides, or False: then
        the first one decides what a search tries next. A function of `cv_results_` may give the best one's number.
    n_jobs
        Fits run at the same time, in joblib's processes; its backend can be Ray or Dask.
    error_score
        Score of a trial that fails, while the others go on; or `raise`, to raise its error at once. If no trial succeeded,
        `fit` raises the first one's error in any case.
    return_train_score
        Whether `cv_results_` also has the scores on each fold's training samples.
    verbose
        Above 0: a line for every trial is printed.
    on_trial
        Called after every trial with a `TrialReport`: its scores, and the best so far.
    """

    def __init__(
        self,
        estimator: Any,
        param_grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]],
        *,
        scoring: Any = None,
        cv: Any = None,
        refit: bool | str | Callable[[dict[str, Any]], int] = True,
        n_jobs: int | None = None,
        error_score: float | str = np.nan,
        return_train_score: bool = False,
        verbose: int = 0,
        on_trial: Callable[[TrialReport], None] | None = None,
    ) -> None:
        super().__init__(
            estimator, param_grid, scoring=scoring, cv=cv, refit=refit, n_jobs=n_jobs, error_score=error_score,
            return_train_score=return_train_score, verbose=verbose,
        )  # fmt: skip
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
            `[n]`, given to the splitter, and to the `fit` of heads that hold a part out for early stopping: there, too, a group
            is never on both sides.
        """
        X = X if (tokens := as_tokens(X)) is None else tokens
        X, y, groups = indexable(X, None if y is None else with_names(y), groups)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        self.scorer_ = check_scoring(self.estimator, scoring=self.scoring)
        self.multimetric_ = isinstance(self.scoring, list | tuple | set | dict)
        metric = self._deciding()
        by_class = None if y is None or hold_sets(np.asarray(y)) else y
        folds = list(check_cv(self.cv, by_class, classifier=is_classifier(self.estimator)).split(X, y, groups))
        self.n_splits_ = len(folds)
        evaluation = Evaluation(self, X, y, weight, self._watched(groups), folds, metric)
        self._search(evaluation)
        self.cv_results_ = evaluation.results()
        self._choose(metric, evaluation)
        if self.refit:
            began = time.monotonic()
            self.best_estimator_ = _fit(
                clone(self.estimator).set_params(**clone(self.best_params_, safe=False)),
                X, y, weight, self._watched(groups),
            )  # fmt: skip
            self.refit_time_ = time.monotonic() - began
            if hasattr(self.best_estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.best_estimator_.feature_names_in_
        return self

    def _watched(self, groups: Any) -> np.ndarray | None:
        """Return the groups for heads whose `fit` takes them."""
        return np.asarray(groups) if groups is not None and has_fit_parameter(self.estimator, "groups") else None

    def _search(self, evaluate: "Evaluation") -> None:
        """Try what is to be tried; searches have their own ways."""
        evaluate(list(ParameterGrid(self.param_grid)))

    def _eligible(self) -> np.ndarray:
        """Return the numbers of the trials among which the best is chosen."""
        return np.arange(len(self.cv_results_["params"]))

    def _deciding(self) -> str:
        """Return the score by which trials are compared."""
        if not self.multimetric_:  # a function may give several all the same, which shows when it has given them
            return self.refit if callable(self.scoring) and isinstance(self.refit, str) else "score"
        names = list(_score_names(self.scorer_))
        if self.refit is True or (isinstance(self.refit, str) and self.refit not in names):
            raise ValueError(f"with several scorers, `refit` must name the one that decides, of {', '.join(names)}")
        return self.refit if isinstance(self.refit, str) else names[0]

    def _together(
        self, trials: Sequence[dict[str, Any]], X: Any, y: Any, weight: Any, groups: Any, folds: Sequence[Any]
    ) -> Iterator[tuple[int, list[FoldScore]]]:
        engine = None if is_on_disk(X) else find_engine(self.estimator)
        task = None if engine is None else read_task(X, y, weight, folds, is_regressor(self.estimator), groups)
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
                scored = [
                    _score(one, fold, task, self.scorer_, known, share, self.return_train_score)
                    for fold, one in enumerate(solved)
                ]
                yield taken[at], scored
                began = time.monotonic()

    def _one_by_one(
        self, left: list[int], trials: Sequence[dict[str, Any]], X: Any, y: Any, weight: Any, groups: Any, folds: Sequence[Any]
    ) -> Iterator[tuple[int, list[FoldScore]]]:
        fits = (
            delayed(_fit_and_score)(
                clone(self.estimator), trials[number], self.scorer_, X, y, weight, groups, train, test, self.return_train_score
            )
            for number in tuple(left)
            for train, test in folds
        )
        scores: list[FoldScore] = []
        as_they_come = get_active_backend()[0].supports_return_generator  # Ray's and Dask's give everything at the end
        workers = Parallel(n_jobs=self.n_jobs, return_as="generator" if as_they_come else "list")
        for score in workers(fits) if left else ():
            scores.append(score)
            if len(scores) == len(folds):
                yield left.pop(0), scores
                scores = []

    def _choose(self, metric: str, evaluation: "Evaluation") -> None:
        eligible = self._eligible()
        if all(self.cv_results_["error"][number] for number in eligible):
            raise next(fold.error for fold in evaluation.scores[eligible[0]] if fold.error)
        names = [name.removeprefix("mean_test_") for name in self.cv_results_ if name.startswith("mean_test_")]
        self.multimetric_ = self.multimetric_ or names != ["score"]
        if self.multimetric_ and not self.refit:
            return
        if metric not in names and not callable(self.refit):
            if self.multimetric_:
                raise ValueError(f"with several scores, `refit` must name the one that decides, of {', '.join(names)}")
            metric = "score"
        if callable(self.refit):
            self.best_index_ = int(self.refit(self.cv_results_))
        else:
            self.best_index_ = int(eligible[np.argmin(self.cv_results_[f"rank_test_{metric}"][eligible])])
            self.best_score_ = float(self.cv_results_[f"mean_test_{metric}"][self.best_index_])
        self.best_params_ = self.cv_results_["params"][self.best_index_]


class Evaluation:
    """Scores trials for a search and keeps what they gave.

    Attributes
    ----------
    y, folds
        The labels, and the (train, test) positions of the whole sweep.
    trials, scores
        All trials so far, and their scores fold by fold.
    """

    def __init__(
        self, sweep: SweepCV, X: Any, y: Any, weight: Any, groups: np.ndarray | None, folds: Sequence[Any], metric: str
    ) -> None:
        self._sweep, self._X, self._weight, self._groups, self._metric = sweep, X, weight, groups, metric
        self.y, self.folds = y, folds
        self.trials: list[dict[str, Any]] = []
        self.scores: list[list[FoldScore]] = []
        self._notes: dict[str, list[Any]] = {}
        self._best: dict[str, float] = {}

    def __call__(self, trials: Sequence[dict[str, Any]], folds: Sequence[Any] | None = None, **notes: Any) -> np.ndarray:
        """Score trials, together those that an engine takes, and return their mean scores `[t]`; NaN for one that failed.

        Parameters
        ----------
        trials
            Parameters.
        folds
            Other folds than the sweep's.
        notes
            Further columns of `cv_results_`, the same for all these trials.
        """
        sweep, data = self._sweep, (self._X, self.y, self._weight, self._groups, self.folds if folds is None else folds)
        done: dict[int, list[FoldScore]] = {}
        for number, scores in sweep._together(trials, *data):
            self._note(trials[number], done.setdefault(number, [self._judge(score) for score in scores]))
        if done:  # an engine's time belongs to all that it solved
            shared = float(np.mean([score.fit_time for scores in done.values() for score in scores]))
            done = {number: [replace(score, fit_time=shared) for score in scores] for number, scores in done.items()}
        for number, scores in sweep._one_by_one([n for n in range(len(trials)) if n not in done], trials, *data):
            self._note(trials[number], done.setdefault(number, [self._judge(score) for score in scores]))
        self.trials += trials
        self.scores += (new := [done[number] for number in range(len(trials))])
        for name, value in notes.items():
            self._notes.setdefault(name, []).extend([value] * len(trials))
        return np.array([np.nan if first_error(found) else deciding_score(mean_scores(found), self._metric) for found in new])

    def results(self) -> dict[str, Any]:
        """Return everything as `cv_results_`."""
        return tabulate(self.trials, self.scores, self._notes)

    def _judge(self, score: FoldScore) -> FoldScore:
        if score.error is None:
            return score
        if self._sweep.error_score == "raise":
            raise score.error
        told = float(self._sweep.error_score)
        trained = None if score.train_scores is None else dict.fromkeys(score.train_scores, told)
        return replace(score, scores=dict.fromkeys(score.scores, told), train_scores=trained)

    def _note(self, params: Mapping[str, Any], folds: Sequence[FoldScore]) -> None:
        means, error = mean_scores(folds), first_error(folds)
        for name, value in means.items():
            self._best[name] = float(np.fmax(self._best.get(name, np.nan), value if error is None else np.nan))
        if self._sweep.verbose:
            told = ", ".join(f"{name} {value:.4f} (best {self._best[name]:.4f})" for name, value in means.items())
            print(f"{dict(params)}: {error or told}", flush=True)
        if self._sweep.on_trial is not None:
            self._sweep.on_trial(TrialReport(params, means, dict(self._best), error))


def _make(estimator: Any, params: Mapping[str, Any]) -> BaseEstimator | None:
    """Return the head of a trial, or None where it cannot be made: fitted alone, it will say why."""
    try:
        return clone(estimator).set_params(**clone(params, safe=False))
    except (TypeError, ValueError):
        return None


def _score(
    solved: Solved, fold: int, task: FoldTask, scorer: Any, known: Mapping[str, str] | None, seconds: float, on_train: bool
) -> FoldScore:
    began = time.monotonic()
    try:
        scores = score_solved(solved, fold, task, scorer, known)
        took = time.monotonic() - began
        trained = _score_rows(scorer, solved.head(), task.X, task.y, task.weight, task.folds[fold][0]) if on_train else None
        return FoldScore(scores, seconds, took, train_scores=trained)
    except Exception as error:  # a trial that fails is a result, whatever it raises
        return _failed(scorer, seconds, error, on_train)


def _failed(scorer: Any, seconds: float, error: Exception, on_train: bool) -> FoldScore:
    nothing = dict.fromkeys(_score_names(scorer), np.nan)
    return FoldScore(nothing, seconds, 0.0, error, nothing if on_train else None)


def _score_names(scorer: Any) -> Iterable[str]:
    return getattr(scorer, "_scorers", {"score": scorer})


def _fit_and_score(
    head: BaseEstimator,
    params: Mapping[str, Any],
    scorer: Any,
    X: Any,
    y: Any,
    weight: Any,
    groups: np.ndarray | None,
    train: Any,
    test: Any,
    on_train: bool,
) -> FoldScore:
    began = time.monotonic()
    fitted = began
    try:
        head.set_params(**clone(params, safe=False))
        _fit(head, *(_rows(part, train) for part in (X, y, weight, groups)))
        fitted = time.monotonic()
        scores = _score_rows(scorer, head, X, y, weight, test)
        took = time.monotonic() - fitted
        trained = _score_rows(scorer, head, X, y, weight, train) if on_train else None
        return FoldScore(scores, fitted - began, took, train_scores=trained)
    except Exception as error:  # a trial that fails is a result, whatever it raises
        return _failed(scorer, fitted - began, error, on_train)


def _score_rows(scorer: Any, head: Any, X: Any, y: Any, weight: Any, rows: Any) -> dict[str, float]:
    return score_head(scorer, head, *(_rows(part, rows) for part in (X, y, weight)))


def _fit(head: Any, X: Any, y: Any, weight: Any, groups: Any) -> Any:
    given = {"sample_weight": weight, "groups": groups}
    return head.fit(X, y, **{name: value for name, value in given.items() if value is not None})


def _rows(part: Any, rows: Any) -> Any:
    if part is None or is_on_disk(part):
        return None if part is None else select_rows(part, rows)
    return _safe_indexing(part, rows)
