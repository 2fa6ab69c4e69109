"""Random search, with the engines and results of `SweepCV`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import ParameterSampler

from heads.sweep import Evaluation, SweepCV
from heads.sweep_results import TrialReport


class RandomSweepCV(SweepCV):
    """Try combinations drawn at random, with the interface of `RandomizedSearchCV` and the engines of `SweepCV`.

    Parameters
    ----------
    estimator
        The head.
    param_distributions
        Parameter -> values, or a distribution with `rvs` such as those of `scipy.stats`; or a list of such spaces.
    n_iter
        Combinations drawn.
    random_state
        Fixes which.
    others
        See `SweepCV`.
    """

    def __init__(
        self,
        estimator: Any,
        param_distributions: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        n_iter: int = 10,
        scoring: Any = None,
        cv: Any = None,
        refit: bool | str | Callable[[dict[str, Any]], int] = True,
        n_jobs: int | None = None,
        random_state: Any = None,
        error_score: float | str = np.nan,
        return_train_score: bool = False,
        verbose: int = 0,
        on_trial: Callable[[TrialReport], None] | None = None,
    ) -> None:
        super().__init__(
            estimator, {}, scoring=scoring, cv=cv, refit=refit, n_jobs=n_jobs, error_score=error_score,
            return_train_score=return_train_score, verbose=verbose, on_trial=on_trial,
        )  # fmt: skip
        self.param_distributions = param_distributions
        self.n_iter = n_iter
        self.random_state = random_state

    def _search(self, evaluate: Evaluation) -> None:
        evaluate(list(ParameterSampler(self.param_distributions, self.n_iter, random_state=self.random_state)))
