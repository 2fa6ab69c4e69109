"""The test split: what was chosen answers for it once, with intervals and a paired test against the runner-up."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from heads import (
    Decision,
    Estimate,
    McNemar,
    PairedDifference,
    bootstrap_difference,
    classification_metrics,
    corrected_resampled_t,
    difference_of_shares,
    mcnemar,
    multilabel_metrics,
    regression_metrics,
)
from pipelines.task import Task
from pipelines.trials import Trial


@dataclass(frozen=True)
class Truth:
    """What is known of the samples that are answered for.

    Attributes
    ----------
    kind, labels
        As in a `Task`.
    rows
        `[t]`, where they are in the source.
    names
        The classes that were learnt, or the labels' names; none for numbers.
    """

    kind: str
    labels: np.ndarray
    rows: np.ndarray
    names: list[str]

    @classmethod
    def of_test(cls, task: Task) -> "Truth":
        """Return what a task knows of its test samples."""
        names = {"classification": task.classes.tolist, "multilabel": lambda: list(task.names), "regression": list}[task.kind]()
        return cls(task.kind, task.labels[task.test], task.rows[task.test], names)


@dataclass(frozen=True)
class Outcome:
    """What was said of the test samples.

    Attributes
    ----------
    true, predicted
        Class codes `[t]`, 0 and 1 `[t, k]`, or numbers `[t]`.
    probabilities
        `[t, c]` or `[t, k]`; None where the head has none and for numbers.
    rows
        `[t]`, where the test samples are in the source.
    metrics
        Metric -> value and interval.
    sets
        Which classes are in each sample's prediction set `[t, c]`; or the ends of its interval `[t, 2]`; None if not asked for.
    coverage, size
        Share of the sets or intervals that hold the truth, with its own interval; and how many classes, or what width, they
        have on average.
    """

    true: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray | None
    rows: np.ndarray
    metrics: dict[str, Estimate]
    sets: np.ndarray | None = None
    coverage: Estimate | None = None
    size: float | None = None


@dataclass(frozen=True)
class Comparison:
    """What was chosen against the runner-up.

    Attributes
    ----------
    runner_up
        The best trial of another head or on other outputs; for an ensemble, the best single trial.
    test
        Mean difference per test sample, of right answers or of absolute errors avoided, with its interval.
    mcnemar
        Of right and wrong answers; None for numbers.
    validation
        Difference over the folds, by the corrected resampled t-test; None for an ensemble or a validation split.
    """

    runner_up: Trial
    test: PairedDifference
    mcnemar: McNemar | None
    validation: PairedDifference | None


def answer_test(raw: np.ndarray, sure: bool, decision: Decision, known: Truth, seed: int) -> tuple[list[str], Outcome]:
    """Turn raw predictions of some samples into answers and score them; return the names of classes or labels, and these.

    Parameters
    ----------
    raw
        As in `heads.predictions`.
    sure
        Whether they are probabilities, and not votes of a head without any.
    decision, known
        How they become answers, and the truth.
    seed
        Of the bootstrap.
    """
    truth, rows = known.labels, known.rows
    if known.kind == "regression":
        metrics = regression_metrics(truth, raw, seed=seed)
        if decision.intervals is None:
            return [], Outcome(truth, raw, None, rows, metrics)
        ends = np.stack(decision.intervals.intervals(raw), axis=1)
        inside = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
        return [], Outcome(truth, raw, None, rows, metrics, ends, _share(inside), 2 * decision.intervals.radius)
    if known.kind == "multilabel":
        probabilities = decision.label_probabilities(raw)
        predicted = decision.labels(probabilities)
        metrics = multilabel_metrics(truth, predicted, probabilities if sure else None, seed=seed)
        return known.names, Outcome(truth, predicted, probabilities if sure else None, rows, metrics)
    classes = known.names + sorted(set(truth.tolist()) - set(known.names))
    code = {name: number for number, name in enumerate(classes)}
    true = np.array([code[name] for name in truth.tolist()])
    learnt = decision.class_probabilities(raw)
    predicted = decision.classes(learnt)
    unseen = ((0, 0), (0, len(classes) - len(known.names)))
    padded = np.pad(learnt, unseen) if sure else None
    metrics = classification_metrics(true, predicted, padded, len(classes), seed=seed)
    if decision.sets is None:
        return classes, Outcome(true, predicted, padded, rows, metrics)
    sets = np.pad(decision.sets.sets(learnt), unseen)
    held = sets[np.arange(len(true)), true]
    return classes, Outcome(true, predicted, padded, rows, metrics, sets, _share(held), float(sets.sum(axis=1).mean()))


def compare(outcome: Outcome, other: np.ndarray, chosen: Trial | None, runner_up: Trial, metric: str, task: Task) -> Comparison:
    """Compare answers on the test samples, and trials over the folds.

    Parameters
    ----------
    outcome
        Of what was chosen.
    other
        The runner-up's raw predictions of the test samples.
    chosen, runner_up
        The trials; None for an ensemble.
    metric
        What the folds are compared by.
    task
        Whose folds' sizes count.
    """
    validation = None
    if chosen is not None and len(chosen.folds[metric]) > 1:
        differences = np.subtract(chosen.folds[metric], runner_up.folds[metric])
        samples, folds = len(task.development), len(differences)
        validation = corrected_resampled_t(differences, samples * (folds - 1) / folds, samples / folds)
    if task.kind == "regression":
        avoided = bootstrap_difference(np.abs(other - outcome.true), np.abs(outcome.predicted - outcome.true))
        return Comparison(runner_up, avoided, None, validation)
    if task.kind == "multilabel":
        right = (outcome.predicted == outcome.true).all(axis=1)
        other_right = ((other >= 0.5) == outcome.true).all(axis=1)
    else:
        right, other_right = outcome.predicted == outcome.true, other.argmax(axis=1) == outcome.true
    return Comparison(runner_up, difference_of_shares(right, other_right), mcnemar(right, other_right), validation)


def _share(hits: np.ndarray) -> Estimate:
    """Return a share of samples with its Wilson interval."""
    interval = binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
    return Estimate(float(hits.mean()), float(interval.low), float(interval.high))
