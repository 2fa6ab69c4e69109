"""The choice among trials: by the best validation score or the rule of one standard error, and what that choice is worth."""

import numpy as np

from heads import one_standard_error, score_predictions
from heads.inputs import select_rows
from pipelines.config import Config
from pipelines.errors import TrainingError
from pipelines.extract import Extraction
from pipelines.held_out import fit_on_development, predict_raw, true_codes
from pipelines.task import Task
from pipelines.trials import SCORES, Score, Trial, columns_of, run_trials


def rank(trials: list[Trial], metric: str) -> list[Trial]:
    """Return trials with the best first, then those that successive halving dropped, and those that failed last.

    Of trials of a head on the same outputs that score the same, the one in the middle comes first: the ends of a plateau of
    penalties are its least sure places, and the strongest penalty gives the flattest probabilities.

    Raises
    ------
    TrainingError
        If none succeeded, with the first one's reason.
    """
    equal: dict[tuple, list[int]] = {}
    for number, trial in enumerate(trials):
        equal.setdefault((*_subject(trial), _worst_last(trial, metric)), []).append(number)
    place = {number: (alike[0], abs(at - (len(alike) - 1) / 2)) for alike in equal.values() for at, number in enumerate(alike)}
    order = sorted(
        range(len(trials)), key=lambda n: (not _usable(trials[n], metric), -_worst_last(trials[n], metric), place[n])
    )
    ranked = [trials[number] for number in order]
    if not _usable(ranked[0], metric):
        first = next((trial.error for trial in ranked if trial.error), "scores that are no numbers")
        raise TrainingError(f"no trial succeeded; the first failed with {first}")
    return ranked


def choose(ranked: list[Trial], config: Config) -> Trial:
    """Return the trial that is used, of trials with the best first.

    Under the rule of one standard error that is the simplest of those that are as good as the best one within its error:
    the one on the fewest features and, of these, with the strongest penalty `C`.

    Raises
    ------
    TrainingError
        If the rule is asked for and there is a validation split instead of folds.
    """
    if config.selection.rule == "best":
        return ranked[0]
    ranked = [trial for trial in ranked if _usable(trial, config.metric)]
    scores = [trial.scores[config.metric] for trial in ranked]
    sizes = [(trial.width, float(trial.params.get("C", np.inf))) for trial in ranked]
    means, deviations = np.array([score.mean for score in scores]), np.array([score.deviation for score in scores])
    try:
        return ranked[one_standard_error(means, deviations, len(ranked[0].folds[config.metric]), sizes)]
    except ValueError as error:
        raise TrainingError(f"{config.where('selection', 'rule')}: {error}, and the data have a validation split") from error


def runner_up(ranked: list[Trial], chosen: Trial, metric: str) -> Trial | None:
    """Return the best trial of another head or on other outputs than the chosen one; None if there is none."""
    others = (trial for trial in ranked if _subject(trial) != _subject(chosen))
    return next((trial for trial in others if _usable(trial, metric)), None)


def candidates(ranked: list[Trial], metric: str, most: int = 12) -> list[Trial]:
    """Return the best trial of every head on every combination of outputs, best first: what an ensemble is made of."""
    best: dict[tuple, Trial] = {}
    for trial in ranked:
        if _usable(trial, metric):
            best.setdefault(_subject(trial), trial)
    return list(best.values())[:most]


def nested_scores(config: Config, extraction: Extraction, task: Task) -> dict[str, Score]:
    """Estimate what choosing among the trials is worth, by folds around the folds (Varma and Simon 2006).

    In every outer fold all trials are validated on the training part alone, and the one chosen there is scored on the part
    left out. The best trial's own validation score is too good by what was gained by choosing; this is not.

    Raises
    ------
    TrainingError
        If the data have a validation split instead of folds.
    """
    if task.validation is not None:
        raise TrainingError(f"{config.where('selection', 'nested')}: nested folds and a validation split do not go together")
    metrics = sorted({*SCORES[task.kind], config.metric})
    scores: dict[str, list[float]] = {name: [] for name in metrics}
    development = task.development
    for _, left_out in task.folds(config.selection.folds, config.selection.seed):
        mask = np.zeros(len(development), bool)
        mask[left_out] = True
        inner = task.within(development, mask)
        chosen = choose(rank(run_trials(config, extraction, inner), config.metric), config)
        columns = columns_of(chosen, extraction, inner)
        head = fit_on_development(chosen, columns, inner)
        known = np.isin(inner.labels[mask], inner.classes) if task.kind == "classification" else np.ones(mask.sum(), bool)
        rows = np.flatnonzero(mask)[known]
        raw, true = predict_raw(head, select_rows(columns.X, rows), inner), true_codes(inner, rows)
        for name in metrics:
            scores[name].append(score_predictions(raw, true, name))
    return {name: Score(float(np.mean(values)), float(np.std(values))) for name, values in scores.items()}


def _subject(trial: Trial) -> tuple:
    return trial.head, trial.recipe, trial.outputs


def _usable(trial: Trial, metric: str) -> bool:
    return trial.eligible and bool(np.isfinite(trial.scores[metric].mean))


def _worst_last(trial: Trial, metric: str) -> float:
    return float(np.nan_to_num(trial.scores[metric].mean, nan=-np.inf))
