"""Search by Optuna, which learns from the trials so far where to look next, with the engines and results of `SweepCV`.

Optuna is asked for several trials at a time, so that an engine can solve them together. It is installed by `headstart[search]`.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from heads.sweep import Evaluation, SweepCV
from heads.sweep_results import TrialReport


class OptunaSweepCV(SweepCV):
    """Try what Optuna proposes, with the interface of optuna-integration's `OptunaSearchCV` and the engines of `SweepCV`.

    Parameters
    ----------
    estimator
        The head.
    param_distributions
        Parameter -> one of Optuna's distributions, values of any kind, or scipy's `loguniform`, `uniform` or `randint`.
    n_trials
        How many are asked for. One that was tried before is not tried again.
    batch_size
        How many are asked for at a time; with more, engines share more, and Optuna knows less when it proposes.
    timeout
        Seconds after which no more are asked for; the first batch is tried in any case.
    sampler
        One of Optuna's; None for its tree-structured Parzen estimator (Bergstra et al. 2011).
    random_state
        Fixes what that one proposes.
    others
        See `SweepCV`.

    Attributes
    ----------
    study_
        Optuna's study.
    """

    def __init__(
        self,
        estimator: Any,
        param_distributions: Mapping[str, Any],
        *,
        n_trials: int = 50,
        batch_size: int = 10,
        timeout: float | None = None,
        sampler: Any = None,
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
        self.n_trials = n_trials
        self.batch_size = batch_size
        self.timeout = timeout
        self.sampler = sampler
        self.random_state = random_state

    def _search(self, evaluate: Evaluation) -> None:
        optuna, began = import_optuna(), time.monotonic()
        space = {name: _distribution(name, values) for name, values in self.param_distributions.items()}
        seed = None if self.random_state is None else int(check_random_state(self.random_state).randint(2**31 - 1))
        loud = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                sampler = self.sampler or optuna.samplers.TPESampler(seed=seed, constant_liar=True)
            self.study_ = optuna.create_study(direction="maximize", sampler=sampler)
            known: dict[str, float] = {}
            for asked in range(0, self.n_trials, self.batch_size):
                if asked and self.timeout is not None and time.monotonic() - began > self.timeout:
                    break
                batch = [self.study_.ask(space) for _ in range(min(self.batch_size, self.n_trials - asked))]
                found = [self._params(trial.params) for trial in batch]
                new = {repr(params): params for params in found if repr(params) not in known}
                if new:
                    known |= dict(zip(new, evaluate(list(new.values())).tolist(), strict=True))
                for trial, params in zip(batch, found, strict=True):
                    score = known[repr(params)]
                    failed = optuna.trial.TrialState.FAIL if np.isnan(score) else None
                    self.study_.tell(trial, None if failed else score, failed)
        finally:
            optuna.logging.set_verbosity(loud)

    def _params(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters for what Optuna drew: of values, it draws the place."""
        spaces = self.param_distributions
        return {name: spaces[name][value] if _is_values(spaces[name]) else value for name, value in drawn.items()}


def import_optuna() -> Any:
    """Return the library.

    Raises
    ------
    ImportError
        In one line, if it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ImportError("a search by Optuna needs the package optuna; `pip install headstart[search]` installs it") from error
    return optuna


def _is_values(space: Any) -> bool:
    return isinstance(space, Sequence | np.ndarray) and not isinstance(space, str)


def _distribution(name: str, space: Any) -> Any:
    """Return Optuna's distribution for a parameter's space."""
    from optuna import distributions

    if isinstance(space, distributions.BaseDistribution):
        return space
    if _is_values(space) and len(space):
        return distributions.CategoricalDistribution(range(len(space)))
    kind = getattr(getattr(space, "dist", None), "name", None)
    if kind in ("loguniform", "reciprocal", "uniform", "randint"):
        low, high = space.support()
        if kind == "randint":
            return distributions.IntDistribution(int(low), int(high))
        return distributions.FloatDistribution(float(low), float(high), log=kind != "uniform")
    raise ValueError(
        f"`{name}`: Optuna cannot draw from {space!r}; give values, one of its distributions, or scipy's loguniform, uniform or"
        " randint"
    )
