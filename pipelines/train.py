"""Stage 2: sweep heads over cached features, choose by validation, fit what was chosen, test it once."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning, UndefinedMetricWarning

from heads import (
    Decision,
    Estimate,
    check_decision,
    confusion_matrix,
    fit_decision,
    gives_probabilities,
    greedy_weights,
    mean_prediction,
    score_predictions,
)
from heads.inputs import select_rows
from pipelines.cautions import cautions
from pipelines.choice import candidates, choose, nested_scores, rank, runner_up
from pipelines.config import Config
from pipelines.errors import TrainingError
from pipelines.extract import Extraction
from pipelines.held_out import HeldOut, fit_on_development, hold_out_predictions, predict_raw
from pipelines.outcome import Comparison, Outcome, Truth, answer_test, compare
from pipelines.task import Task
from pipelines.trials import Score, Trial, columns_of, run_trials
from pipelines.workers import fitting_workers


@dataclass(frozen=True)
class Member:
    """A trial with its head, fitted on all samples that are not test, and its share in the ensemble (1 if it is alone)."""

    trial: Trial
    head: BaseEstimator
    weight: float


@dataclass(frozen=True)
class Result:
    """What training gave.

    Attributes
    ----------
    trials
        Best first.
    selected
        The trial chosen; of an ensemble, the one with the largest share.
    members
        The fitted heads that answer together, the largest share first.
    decision
        How their mean prediction becomes an answer.
    classes
        Names of the classes: those learnt, then any that only the test split has. Of the labels where there are several a
        sample; none for numbers.
    outcome
        What was said of the test samples.
    validation
        Metric -> score of what was chosen, on development samples.
    nested
        What choosing is worth by nested folds, if asked for.
    comparison
        With the best trial of another head or on other outputs, if there is one.
    notes
        What the user should know about the trials, a line each.
    """

    trials: list[Trial]
    selected: Trial
    members: list[Member]
    decision: Decision
    classes: list[str]
    outcome: Outcome
    validation: dict[str, float]
    nested: dict[str, Score] | None
    comparison: Comparison | None
    notes: list[str]
    seconds: float

    @property
    def head(self) -> BaseEstimator:
        """The head with the largest share."""
        return self.members[0].head

    @property
    def learnt(self) -> int:
        """How many of the classes or labels can be predicted."""
        head = self.members[0].head
        return len(head.classes_) if self.outcome.true.ndim == 1 and self.classes else len(self.classes)

    @property
    def metrics(self) -> dict[str, Estimate]:
        """Metric -> value and interval on the test samples."""
        return self.outcome.metrics

    @property
    def confusion(self) -> np.ndarray:
        """`[c, c]`, rows true and columns predicted; of a classification."""
        return confusion_matrix(self.outcome.true, self.outcome.predicted, len(self.classes))


def train(config: Config, extraction: Extraction, task: Task, on_trial: Callable[[float, bool], None] | None = None) -> Result:
    """Run every trial, choose by validation scores, fit what was chosen on all development samples and test it once.

    Parameters
    ----------
    config, extraction, task
        What to do, on what.
    on_trial
        Told after every trial its score on the metric that decides, and whether it failed.

    Raises
    ------
    TrainingError
        If trials cannot be validated or none succeeded, with the first one's reason; or if the config asks for something
        that does not go with the data.
    """
    began = time.monotonic()
    with warnings.catch_warnings(), fitting_workers(config):
        for expected in (ConvergenceWarning, UndefinedMetricWarning):
            warnings.simplefilter("ignore", expected)
        for told in (
            "The least populated class",
            "y_pred contains classes",
            "The number of unique classes",
            "A single label was found",
        ):
            warnings.filterwarnings("ignore", told)  # the task's notes say what matters of these
        trials = rank(run_trials(config, extraction, task, on_trial), config.metric)
        chosen = choose(trials, config)
        shares, held = _shares(trials, chosen, config, extraction, task)
        decision = Decision()
        if held is not None:
            mean = mean_prediction(held.predictions, np.array([weight for _, weight in shares]))
            decision = _decide(mean, held.true, config)
        nested = nested_scores(config, extraction, task) if config.selection.nested else None
        members, raw = [], []
        notes: list[str] = []
        for trial, weight in shares:
            columns = columns_of(trial, extraction, task)
            members.append(Member(trial, fit_on_development(trial, columns, task), weight))
            notes = notes or cautions(trials, trial, members[0].head, columns, task, config, len(shares) > 1)
            raw.append(predict_raw(members[-1].head, select_rows(columns.X, task.test), task))
        if decision.temperature == 1:
            notes.append("no held-out prediction is mistaken: nothing to calibrate by, and probabilities stay as they are")
        mean = mean_prediction(raw, np.array([member.weight for member in members]))
        sure = len(members) > 1 or gives_probabilities(members[0].head)
        classes, outcome = answer_test(mean, sure, decision, Truth.of_test(task), config.selection.seed)
        comparison = _compare(trials, chosen, members, outcome, config, extraction, task)
    return Result(
        trials=trials,
        selected=members[0].trial,
        members=members,
        decision=decision,
        classes=classes,
        outcome=outcome,
        validation=_validation(shares, held, config, task),
        nested=nested,
        comparison=comparison,
        notes=notes,
        seconds=time.monotonic() - began,
    )


Shares = list[tuple[Trial, float]]


def _shares(
    trials: list[Trial], chosen: Trial, config: Config, extraction: Extraction, task: Task
) -> tuple[Shares, HeldOut | None]:
    """Decide which trials answer, with which weight; and what they said of held-out samples, if anything needs that."""
    if config.ensemble is not None:
        asked = candidates(trials, config.metric)
        held = hold_out_predictions(asked, config, extraction, task)
        weights = greedy_weights(
            held.predictions, lambda mean: score_predictions(mean, held.true, config.metric), config.ensemble
        ).tolist()
        order = sorted((n for n in range(len(asked)) if weights[n] > 0), key=lambda n: -weights[n])
        return [(asked[n], weights[n]) for n in order], HeldOut([held.predictions[n] for n in order], held.true)
    if config.calibrate or config.thresholds or config.conformal:
        return [(chosen, 1.0)], hold_out_predictions([chosen], config, extraction, task)
    return [(chosen, 1.0)], None


def check_asked(config: Config, task: Task) -> None:
    """See that what a config asks for after fitting goes with the data, before anything is extracted.

    Raises
    ------
    TrainingError
        With the line of what does not.
    """
    held = len(task.development) if task.validation is None else int(task.validation.sum())
    asked: dict[str, dict[str, Any]] = {
        "calibrate": {"temperature": config.calibrate is not None},
        "thresholds": {"thresholds": config.thresholds},
        "conformal": {"coverage": config.conformal},
    }
    for key, wish in asked.items():
        with _told_at(config, key):
            check_decision(task.kind, held, len(task.classes) if task.kind == "classification" else len(task.names), **wish)


@contextmanager
def _told_at(config: Config, key: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise TrainingError(f"{config.where(key)}: {error}") from error


def _decide(predictions: np.ndarray, true: np.ndarray, config: Config) -> Decision:
    asked = next((key for key in ("thresholds", "conformal") if getattr(config, key) is not None), "calibrate")
    with _told_at(config, asked):
        return fit_decision(
            predictions,
            true,
            temperature=config.calibrate == "temperature",
            thresholds=config.thresholds,
            coverage=config.conformal,
        )


def _validation(shares: Shares, held: HeldOut | None, config: Config, task: Task) -> dict[str, float]:
    if len(shares) == 1 or held is None:
        return {name: score.mean for name, score in shares[0][0].scores.items()}
    mean = mean_prediction(held.predictions, np.array([weight for _, weight in shares]))
    return {name: score_predictions(mean, held.true, name) for name in shares[0][0].scores}


def _compare(
    trials: list[Trial],
    chosen: Trial,
    members: list[Member],
    outcome: Outcome,
    config: Config,
    extraction: Extraction,
    task: Task,
) -> Comparison | None:
    """Compare what was chosen with the runner-up: an ensemble with the best trial alone."""
    other = chosen if len(members) > 1 else runner_up(trials, chosen, config.metric)
    if other is None:
        return None
    columns = columns_of(other, extraction, task)
    raw = predict_raw(fit_on_development(other, columns, task), select_rows(columns.X, task.test), task)
    return compare(outcome, raw, None if len(members) > 1 else members[0].trial, other, config.metric, task)
