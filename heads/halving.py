"""Successive halving (Jamieson and Talwalkar 2016): many trials on little data, and the best of them on more and more.

Interfaces, rungs and samples are those of scikit-learn's experimental `HalvingGridSearchCV` and `HalvingRandomSearchCV`. Unlike
those, a search may have several scorers, and folds need not come out the same when a splitter is asked twice.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.utils import resample

from heads.sweep import Evaluation, SweepCV
from heads.sweep_results import TrialReport


@dataclass(frozen=True)
class Rung:
    """How many trials get how much of the resource."""

    trials: int
    resources: int


def plan_rungs(
    trials: int, factor: float, least: int, most: int, *, exhaust: bool = False, aggressive: bool = False
) -> list[Rung]:
    """Return the rungs of a search.

    Parameters
    ----------
    trials
        On the first rung; on each next one their number is divided by `factor`.
    factor
        By how much trials become fewer and resources more.
    least, most
        Resources of the first rung, and most of any.
    exhaust
        Begin with as much as lets the last rung use most of the resources.
    aggressive
        Stay at the least resources until few enough trials are left for the last rung.

    Raises
    ------
    ValueError
        If the numbers do not go together.
    """
    if factor <= 1:
        raise ValueError(f"`factor` is {factor}; it must be above 1")
    if not 0 < least <= most:
        raise ValueError(f"the first rung needs {least:,} of the resource, and there are {most:,}; name `min_resources`")
    required = count_rungs(trials, factor)
    if exhaust:
        least = max(least, int(most // factor ** (required - 1)))
    possible = count_rungs(most // least, factor)
    rungs = []
    for rung in range(required if aggressive else min(possible, required)):
        power = max(0, rung - required + possible) if aggressive else rung
        rungs.append(Rung(trials, min(int(factor**power * least), most)))
        trials = math.ceil(trials / factor)
    return rungs


def count_rungs(times: int, factor: float) -> int:
    """Return how many rungs it takes to become so many times fewer, or more."""
    return 1 + math.floor(math.log(times, factor))


def bound_resources(
    resource: str, least: int | str, most: int | str, samples: int, folds: int, classes: int
) -> tuple[int, int]:
    """Return the least and the most of a resource that a trial may get.

    Parameters
    ----------
    resource, least, most
        As `resource`, `min_resources` and `max_resources` of `HalvingSweepCV`.
    samples, folds, classes
        How many there are; 1 class where the targets are numbers. Every fold is to see each class about twice.

    Raises
    ------
    ValueError
        If the most is not known.
    """
    by_samples = resource == "n_samples"
    if most == "auto" and not by_samples:
        raise ValueError(f"with `{resource}` as the resource, name its largest value as `max_resources`")
    lowest = 2 * folds * classes if by_samples else 1
    return (lowest if isinstance(least, str) else least), (samples if isinstance(most, str) else most)


class _Halving(SweepCV):
    """What searches by successive halving share; where the first trials come from is their own."""

    def __init__(
        self,
        estimator: Any,
        *,
        factor: float = 3,
        resource: str = "n_samples",
        max_resources: int | str = "auto",
        min_resources: int | str = "exhaust",
        aggressive_elimination: bool = False,
        cv: Any = 5,
        scoring: Any = None,
        refit: bool | str | Callable[[dict[str, Any]], int] = True,
        error_score: float | str = np.nan,
        random_state: Any = None,
        n_jobs: int | None = None,
        return_train_score: bool = False,
        verbose: int = 0,
        on_trial: Callable[[TrialReport], None] | None = None,
    ) -> None:
        super().__init__(
            estimator, {}, scoring=scoring, cv=cv, refit=refit, n_jobs=n_jobs, error_score=error_score,
            return_train_score=return_train_score, verbose=verbose, on_trial=on_trial,
        )  # fmt: skip
        self.factor = factor
        self.resource = resource
        self.max_resources = max_resources
        self.min_resources = min_resources
        self.aggressive_elimination = aggressive_elimination
        self.random_state = random_state

    def _first_trials(self, times: int) -> list[dict[str, Any]]:
        """Return the trials of the first rung; the most resources are so many times the least."""
        raise NotImplementedError

    def _search(self, evaluate: Evaluation) -> None:
        least, self.max_resources_ = self._bounds(evaluate)
        trials = self._first_trials(self.max_resources_ // least)
        if any(self.resource in params for params in trials):
            raise ValueError(f"`{self.resource}` is the resource, so it cannot be among the parameters tried")
        rungs = plan_rungs(
            len(trials), self.factor, least, self.max_resources_,
            exhaust=self.min_resources == "exhaust", aggressive=self.aggressive_elimination,
        )  # fmt: skip
        self.min_resources_, self.n_iterations_ = rungs[0].resources, len(rungs)
        self.n_required_iterations_ = count_rungs(len(trials), self.factor)
        self.n_possible_iterations_ = count_rungs(self.max_resources_ // self.min_resources_, self.factor)
        self.n_resources_, self.n_candidates_ = [rung.resources for rung in rungs], [rung.trials for rung in rungs]
        for number, rung in enumerate(rungs):
            folds = evaluate.folds
            if self.resource == "n_samples":
                folds = [self._sample(fold, rung.resources / len(evaluate.y)) for fold in folds]
            else:
                trials = [params | {self.resource: rung.resources} for params in trials]
            scores = evaluate(trials, folds, iter=number, n_resources=rung.resources)
            order = np.roll(np.argsort(scores), np.isnan(scores).sum())  # those that failed come first
            trials = [trials[place] for place in order[-math.ceil(rung.trials / self.factor) :]]
        self.n_remaining_candidates_ = len(trials)

    def _eligible(self) -> np.ndarray:
        rung = self.cv_results_["iter"]
        return np.flatnonzero(rung == rung.max())

    def _bounds(self, evaluate: Evaluation) -> tuple[int, int]:
        if self.resource != "n_samples" and self.resource not in self.estimator.get_params():
            name = type(self.estimator).__name__
            raise ValueError(f"`resource` is {self.resource!r}, which is no parameter of {name}; `n_samples` is for any head")
        classes = len(np.unique(np.asarray(evaluate.y))) if is_classifier(self.estimator) else 1
        return bound_resources(
            self.resource, self.min_resources, self.max_resources, len(evaluate.y), len(evaluate.folds), classes
        )

    def _sample(self, fold: tuple[Any, Any], share: float) -> tuple[np.ndarray, ...]:
        """Return a share of both parts of a fold."""
        return tuple(
            resample(rows, replace=False, random_state=self.random_state, n_samples=max(int(share * len(rows)), 1))
            for rows in fold
        )


class HalvingSweepCV(_Halving):
    """Try a grid by successive halving, with the interface of `HalvingGridSearchCV` and the engines of `SweepCV`.

    `cv_results_` has a row for every trial on every rung, with the rung as `iter` and what it got as `n_resources`; the best is
    chosen among those of the last rung.

    Parameters
    ----------
    estimator
        The head.
    param_grid
        Parameter -> values, or a list of such grids.
    factor
        On each rung, one in so many trials goes on, with so many times the resources.
    resource
        `n_samples`, or a whole-numbered parameter of the head, such as `max_epochs`.
    max_resources
        Most of it that a trial gets; `auto`: all samples.
    min_resources
        What the first rung gets; `exhaust`: as much as lets the last rung use most of the resources; `smallest`: as little
        as may do.
    aggressive_elimination
        See `plan_rungs`.
    random_state
        Fixes which samples.
    others
        See `SweepCV`.
    """

    def __init__(
        self,
        estimator: Any,
        param_grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]],
        *,
        factor: float = 3,
        resource: str = "n_samples",
        max_resources: int | str = "auto",
        min_resources: int | str = "exhaust",
        aggressive_elimination: bool = False,
        cv: Any = 5,
        scoring: Any = None,
        refit: bool | str | Callable[[dict[str, Any]], int] = True,
        error_score: float | str = np.nan,
        random_state: Any = None,
        n_jobs: int | None = None,
        return_train_score: bool = False,
        verbose: int = 0,
        on_trial: Callable[[TrialReport], None] | None = None,
    ) -> None:
        super().__init__(
            estimator, factor=factor, resource=resource, max_resources=max_resources, min_resources=min_resources,
            aggressive_elimination=aggressive_elimination, cv=cv, scoring=scoring, refit=refit, error_score=error_score,
            random_state=random_state, n_jobs=n_jobs, return_train_score=return_train_score, verbose=verbose, on_trial=on_trial,
        )  # fmt: skip
        self.param_grid = param_grid

    def _first_trials(self, times: int) -> list[dict[str, Any]]:
        return list(ParameterGrid(self.param_grid))


class HalvingRandomSweepCV(_Halving):
    """Try combinations drawn at random by successive halving, with the interface of `HalvingRandomSearchCV`.

    Parameters
    ----------
    estimator
        The head.
    param_distributions
        As in `RandomSweepCV`.
    n_candidates
        Combinations on the first rung; `exhaust`: as many as let the last rung use most of the resources.
    others
        See `HalvingSweepCV`.
    """

    def __init__(
        self,
        estimator: Any,
        param_distributions: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        n_candidates: int | str = "exhaust",
        factor: float = 3,
        resource: str = "n_samples",
        max_resources: int | str = "auto",
        min_resources: int | str = "smallest",
        aggressive_elimination: bool = False,
        cv: Any = 5,
        scoring: Any = None,
        refit: bool | str | Callable[[dict[str, Any]], int] = True,
        error_score: float | str = np.nan,
        random_state: Any = None,
        n_jobs: int | None = None,
        return_train_score: bool = False,
        verbose: int = 0,
        on_trial: Callable[[TrialReport], None] | None = None,
    ) -> None:
        super().__init__(
            estimator, factor=factor, resource=resource, max_resources=max_resources, min_resources=min_resources,
            aggressive_elimination=aggressive_elimination, cv=cv, scoring=scoring, refit=refit, error_score=error_score,
            random_state=random_state, n_jobs=n_jobs, return_train_score=return_train_score, verbose=verbose, on_trial=on_trial,
        )  # fmt: skip
        self.param_distributions = param_distributions
        self.n_candidates = n_candidates

    def _first_trials(self, times: int) -> list[dict[str, Any]]:
        if self.n_candidates == self.min_resources == "exhaust":
            raise ValueError("`n_candidates` and `min_resources` cannot both be `exhaust`; name one of them")
        count = times if isinstance(self.n_candidates, str) else self.n_candidates
        return list(ParameterSampler(self.param_distributions, count, random_state=self.random_state))
