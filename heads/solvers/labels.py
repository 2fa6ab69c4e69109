"""Linear heads where samples have several labels: each label of each trial and fold is a binary problem of one stack."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.utils import compute_class_weight

from heads.linear import LinearHead
from heads.solvers.engine import FoldTask, Solved
from heads.solvers.found import Found
from heads.solvers.logistic import solve_logistic, warn_unconverged
from heads.solvers.losses import BinaryLoss
from heads.solvers.rotation import RotatedFeatures
from heads.solvers.stack import Problems


def are_solvable(head: LinearHead, task: FoldTask) -> bool:
    """Whether every label's problem has samples of some weight on either side, or none at all on one."""
    positive = not isinstance(head.class_weight, dict) or all(weight > 0 for weight in head.class_weight.values())
    return len(task.classes) > 0 and positive and (task.weight is None or bool((task.weight > 0).all()))


def solve_labels(
    heads: Sequence[LinearHead], numbers: Sequence[int], folds: Sequence[int], features: RotatedFeatures, task: FoldTask
) -> dict[tuple[int, int], Solved]:
    """Fit heads with one `max_iter` on folds: all labels in one stack.

    Labels that a fold's training samples agree on have nothing to be solved: their score is the log-odds that a head fitted
    alone gives them.
    """
    labels = np.arange(len(task.classes))
    points = features.values.new_zeros(len(heads), len(folds), len(labels), features.values.shape[1])
    iterations = np.zeros((len(heads), len(folds)), int)
    open_labels = np.zeros((len(folds), len(labels)), bool)
    for at, fold in enumerate(folds):
        has, weight = task.codes[task.folds[fold][0]], _own_weight(fold, task)
        open_labels[at] = has.any(axis=0) & ~has.all(axis=0)
        odds = np.log((weight @ has + 0.5) / (weight @ ~has + 0.5))
        points[:, at, :, -1] = points.new_tensor(np.where(open_labels[at], 0, odds))
    if open_labels.any():
        tried = np.array([(head, fold, label) for head in range(len(heads)) for fold, label in np.argwhere(open_labels)])
        head_of, fold_of, label_of = tried.T
        problems = _problems(heads, folds, tried, task)
        tolerance = np.array([np.nan if heads[head].tol is None else heads[head].tol for head in head_of])
        loss = BinaryLoss(torch.as_tensor(task.codes.T.astype(np.float32), device=points.device))
        limit = int(heads[0].max_iter)
        solution = solve_logistic(features, loss, problems, tolerance=tolerance, max_iter=limit)
        points[head_of, fold_of, label_of] = solution.rotated[:, 0]
        np.maximum.at(iterations, (head_of, fold_of), solution.iterations)
        warn_unconverged(solution.converged, limit)
    solved = {}
    for row, (number, head) in enumerate(zip(numbers, heads, strict=True)):
        for at, fold in enumerate(folds):
            found = Found(task.classes, points[row, at], features.rotation, int(iterations[row, at]), multilabel=True)
            solved[number, fold] = Solved(None, partial(found.fitted, head, task.X))
    return solved


def _problems(heads: Sequence[LinearHead], folds: Sequence[int], tried: np.ndarray, task: FoldTask) -> Problems:
    """Return a problem for every head, fold and label `[b, 3]`; those that weigh samples alike share their weights."""
    rows: dict[tuple[str, int, int], int] = {}
    weights: list[np.ndarray] = []
    weight_of = []
    for head, fold, label in tried.tolist():
        kind = _label_kind(heads[head].class_weight, task.classes.tolist()[label])
        key = (repr(kind), fold, -1 if kind is None else label)
        if key not in rows:
            rows[key] = len(weights)
            weights.append(_weights(kind, folds[fold], label, task))
        weight_of.append(rows[key])
    groups = np.unique(tried[:, [0, 2]], axis=0, return_inverse=True)[1].ravel()
    C = np.array([float(heads[head].C) for head in tried[:, 0]])
    return Problems(C, np.stack(weights), np.array(weight_of), tried[:, 2], groups)


def _label_kind(class_weight: Any, name: Any) -> Any:
    """Return what one label's problem is weighted by: None, `balanced`, or the weight of its positives."""
    return class_weight.get(name, 1.0) if isinstance(class_weight, dict) else class_weight


def _weights(kind: Any, fold: int, label: int, task: FoldTask) -> np.ndarray:
    """Return the samples' weights `[n]` in one label's problem, as `LogisticRegression` computes them."""
    weight = task.fold_weights[fold].astype(np.float32)
    if kind is None:
        return weight
    sides = {False: 1.0, True: kind} if kind != "balanced" else kind
    has = task.codes[task.folds[fold][0], label]
    own = None if task.weight is None else _own_weight(fold, task)
    by_side = compute_class_weight(sides, classes=np.array([False, True]), y=has, sample_weight=own)
    weighted: np.ndarray = weight * by_side[task.codes[:, label].astype(int)].astype(np.float32)
    return weighted


def _own_weight(fold: int, task: FoldTask) -> np.ndarray:
    """Return the weights of a fold's training samples."""
    train = task.folds[fold][0]
    return np.ones(len(train)) if task.weight is None else task.weight[train]
