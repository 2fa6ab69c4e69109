"""Likely label errors by confident learning: what a linear head, trained without a sample, says against its label."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from heads import LinearHead, RidgeRegressor, SweepCV, choose_splitter, class_probabilities, label_probabilities
from pipelines.task import Task

PENALTIES = [1e-4, 1e-3, 1e-2, 1e-1]


@dataclass(frozen=True)
class HeldOutAnswers:
    """What a linear head says of samples it was not trained on.

    Attributes
    ----------
    values
        Of all the task's samples: `[n, c]` over `classes`, `[n, k]`, or numbers `[n]`.
    classes
        That can be learnt; none for several labels a sample and for numbers.
    """

    values: np.ndarray
    classes: list[str]


def answer_held_out(X: np.ndarray, task: Task, folds: int = 5, seed: int = 0, device: str = "auto") -> HeldOutAnswers:
    """Answer for development samples by cross-validation and for test samples by a head that was trained on the others.

    Parameters
    ----------
    X
        Features `[n, d]` of the task's samples.
    task
        Targets, groups and test mask.
    folds, seed
        Of the cross-validation, in which a group is never on both sides.
    device
        Where heads compute: `auto`, or a torch device.
    """
    development = task.development
    labels, groups = task.labels[development], None if task.groups is None else task.groups[development]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        splits = list(choose_splitter(labels, groups, None, folds, seed).split(development, labels, groups))
    classes = task.classes.tolist() if task.kind == "classification" else []
    parts = [(development[train], development[held]) for train, held in splits]
    if task.test.any():
        parts.append((development, np.flatnonzero(task.test)))
    width = len(classes) or (task.labels.shape[1] if task.labels.ndim == 2 else 0)
    values = np.zeros((len(task.labels), width) if width else len(task.labels))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        head = _choose(X[development], task, splits, device)
        for train, held in parts:
            head.fit(X[train], task.labels[train])
            if task.kind == "classification":
                values[held] = class_probabilities(head, X[held], classes)
            else:
                values[held] = label_probabilities(head, X[held]) if width else head.predict(X[held])
    return HeldOutAnswers(values, classes)


def _choose(X: np.ndarray, task: Task, splits: list[tuple[np.ndarray, np.ndarray]], device: str) -> LinearHead | RidgeRegressor:
    if task.kind == "regression":
        return RidgeRegressor()
    head = LinearHead(standardize=True, tol=1e-4, device=device)
    if task.kind == "multilabel":
        return head.set_params(C=PENALTIES[2])
    sweep = SweepCV(head, {"C": PENALTIES}, scoring="accuracy", cv=splits[:2], refit=False)
    return head.set_params(**sweep.fit(X, task.labels[task.development]).best_params_)


@dataclass(frozen=True)
class Suspects:
    """Samples whose labels are likely wrong, the least likely labels first.

    Attributes
    ----------
    positions
        `[m]` within the task.
    doubt
        `[m]`: one less the label's own held-out probability, or for numbers the share of samples with a smaller error.
    suggested
        `[m]`, what the head says instead.
    """

    positions: np.ndarray
    doubt: np.ndarray
    suggested: list[str]


def suspect_labels(answers: HeldOutAnswers, task: Task) -> Suspects:
    """Choose the samples whose labels are likely wrong.

    Classes by confident learning (Northcutt et al. 2021) as cleanlab does it; several labels a sample by the same, label by
    label; numbers by held-out errors that lie more than three quartile ranges above the upper quartile.
    """
    if task.kind == "regression":
        error = np.abs(answers.values - task.labels)
        lower, upper = np.quantile(error, [0.25, 0.75])
        chosen = np.flatnonzero(error > upper + 3 * (upper - lower))
        chosen = chosen[np.argsort(-error[chosen], kind="stable")]
        doubt = np.searchsorted(np.sort(error), error[chosen]) / len(error)
        return Suspects(chosen, doubt, [f"{value:.4g}" for value in answers.values[chosen]])
    if task.kind == "multilabel":
        return _suspect_several(answers.values, task)
    known = np.flatnonzero(np.isin(task.labels, answers.classes))
    codes = np.searchsorted(answers.classes, task.labels[known])
    chosen = known[_find(codes, answers.values[known])]
    own = answers.values[chosen, np.searchsorted(answers.classes, task.labels[chosen])]
    best = answers.values[chosen].argmax(axis=1)
    return Suspects(chosen, 1 - own, [answers.classes[code] for code in best.tolist()])


def _suspect_several(probabilities: np.ndarray, task: Task) -> Suspects:
    doubts = np.zeros(task.labels.shape)
    for column in range(task.labels.shape[1]):
        has = task.labels[:, column]
        if 0 < has.sum() < len(has):
            found = _find(has, np.stack([1 - probabilities[:, column], probabilities[:, column]], axis=1))
            doubts[found, column] = np.abs(has - probabilities[:, column])[found]
    doubt = doubts.max(axis=1, initial=0)
    chosen = np.flatnonzero(doubt > 0)
    chosen = chosen[np.argsort(-doubt[chosen], kind="stable")]
    flipped = np.where(doubts[chosen] > 0, 1 - task.labels[chosen], task.labels[chosen])
    names = [", ".join(name for name, has in zip(task.names, row, strict=True) if has) or "none" for row in flipped]
    return Suspects(chosen, doubt[chosen], names)


def _find(codes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the positions of likely errors, the least likely labels first."""
    from cleanlab.filter import find_label_issues

    present = np.unique(codes)
    if len(present) < 2:
        return np.empty(0, int)
    narrowed = probabilities[:, present] + 1e-12
    narrowed /= narrowed.sum(axis=1, keepdims=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "May not flag all label issues")  # of a class with hardly any samples
        found: np.ndarray = find_label_issues(
            np.searchsorted(present, codes), narrowed, return_indices_ranked_by="self_confidence", n_jobs=1
        )
    return found
