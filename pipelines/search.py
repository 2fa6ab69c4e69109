"""How the trials of a head are found: a grid, random draws, successive halving or Optuna, as a config's `search` says."""

from collections.abc import Callable, Mapping
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.model_selection import ParameterGrid

from heads import HalvingRandomSweepCV, HalvingSweepCV, OptunaSweepCV, RandomSweepCV, SweepCV, TrialReport
from heads.halving import bound_resources, plan_rungs
from heads.optuna_search import import_optuna
from pipelines.config import Config, Search
from pipelines.errors import UsageError
from pipelines.spaces import Range

Space = Mapping[str, list[Any] | Range]

DRAWN = 50
"""Trials that are drawn of a head where a config does not say how many."""


def check_search(config: Config, parameters: Mapping[int, set[str]], spaces: Mapping[int, Space]) -> None:
    """See that a config's search goes with its heads.

    Parameters
    ----------
    config
        The config.
    parameters, spaces
        Number of a head -> the parameters that it has, and what is to be tried of them.

    Raises
    ------
    UsageError
        With the line of what does not.
    """
    search = config.search
    for number, space in spaces.items():
        for name, values in space.items():
            if isinstance(values, Range) and not search.draws:
                raise UsageError(
                    f"{config.where('heads', number, name)}: `{name}` is a range, which only a search that draws can take; "
                    "write `search: {method: random}`, or give it a count: {log: [low, high, n]}"
                )
        if search.method == "halving" and search.resource != "n_samples":
            place, resource = config.where("search", "resource"), search.resource
            if resource not in parameters[number]:
                raise UsageError(f"{place}: the head `{config.heads[number].kind}` has no parameter `{resource}`")
            if resource in space:
                raise UsageError(f"{place}: `{resource}` is the resource, so no head can name it")
    if search.method == "optuna":
        try:
            import_optuna()
        except ImportError as error:
            raise UsageError(f"{config.where('search', 'method')}: {error}") from error


def make_sweep(
    search: Search, head: BaseEstimator, space: Space, scoring: list[str], folds: Any, on_trial: Callable[[TrialReport], None]
) -> SweepCV:
    """Return the sweep that tries a head; the first of the scorers decides where a search goes on."""
    common: dict[str, Any] = {"scoring": scoring, "cv": folds, "refit": False, "on_trial": on_trial}
    drawn: dict[str, Any] = {name: part.distribution() if isinstance(part, Range) else part for name, part in space.items()}
    if search.method == "optuna":
        return OptunaSweepCV(head, drawn, n_trials=search.trials or DRAWN, random_state=search.seed, **common)
    if search.method == "random":
        return RandomSweepCV(head, drawn, n_iter=_draws(search, space), random_state=search.seed, **common)
    if search.method == "grid":
        return SweepCV(head, drawn, **common)
    common |= {name: getattr(search, name) for name in ("factor", "resource", "min_resources", "max_resources")}
    if search.trials is None:
        return HalvingSweepCV(head, drawn, random_state=search.seed, **common)
    return HalvingRandomSweepCV(head, drawn, n_candidates=_draws(search, space), random_state=search.seed, **common)


def count_trials(search: Search, space: Space, samples: int, folds: int, classes: int) -> int:
    """Count what `make_sweep` will try, on every rung of successive halving; at most, where that depends on what is drawn.

    Raises
    ------
    ValueError
        If the resources of successive halving do not go together.
    """
    trials = _draws(search, space)
    if search.method != "halving":
        return trials
    least, most = bound_resources(search.resource, search.min_resources, search.max_resources, samples, folds, classes)
    rungs = plan_rungs(trials, search.factor, least, most, exhaust=search.min_resources == "exhaust")
    return sum(rung.trials for rung in rungs)


def _draws(search: Search, space: Space) -> int:
    """Count the combinations, or how many of them are drawn."""
    drawn = (search.trials or DRAWN) if search.draws else None
    if any(isinstance(part, Range) for part in space.values()):
        return drawn or DRAWN
    everything = len(ParameterGrid(dict(space)))
    return everything if drawn is None else min(drawn, everything)
