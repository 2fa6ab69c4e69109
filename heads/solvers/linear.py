"""The engine of the linear head: all trials and folds in one batched solve."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.utils import compute_class_weight

from heads.devices import run_on, solving_device
from heads.limits import is_allowed
from heads.linear import LinearHead
from heads.solvers.engine import FoldTask, Solved
from heads.solvers.found import Found
from heads.solvers.labels import are_solvable, solve_labels
from heads.solvers.logistic import Solution, Task, solve_logistic, solve_side_by_side, warn_unconverged
from heads.solvers.losses import BinaryLoss, SoftmaxLoss
from heads.solvers.products import product
from heads.solvers.rotation import RotatedFeatures, rotate
from heads.solvers.stack import Problems

PARAMETERS = {"C", "standardize", "whiten", "class_weight", "tol", "max_iter", "device"}
FINEST = 1e-6
"""The smallest `tol` that float32 can hold; trials with a smaller one are fitted one by one."""


class LinearEngine:
    """Solves `LinearHead` trials together.

    A trial's objective is within 1e-3 of the minimum, relative; the classes predicted are those of a head fitted alone but
    for samples on a border between classes (about one in ten thousand). The arithmetic is float32. Where samples may have
    several labels, each label of each trial is a problem of its own in the same stack (`labels`).
    """

    def takes(self, head: LinearHead, task: FoldTask) -> bool:
        """Whether the parameters are ones that the solver knows, and such that fitting would not refuse them."""
        named = set(head.class_weight) if isinstance(head.class_weight, dict) else set()
        return (
            set(head.get_params()) == PARAMETERS
            and is_allowed(head)
            and (task.single or are_solvable(head, task))
            and not head.standardize
            and head.whiten is None
            and all(named <= set(task.classes[list(found)].tolist()) for found in task.fold_classes)
            and np.inf > head.C
            and (head.tol is None or head.tol >= FINEST)
        )

    def solve(self, heads: Sequence[LinearHead], task: FoldTask) -> Iterator[tuple[int, list[Solved]]]:
        """Fit every head on every fold, folds that train on the same classes in one stack."""
        if not heads:
            return
        solved = run_on(place_of(heads, task), partial(_solve_all, heads, task))
        for number in range(len(heads)):
            yield number, [solved[number, fold] for fold in range(len(task.folds))]


def place_of(heads: Sequence[LinearHead], task: FoldTask) -> torch.device:
    """Return where heads are solved on all folds: where the first one says, by what one pass for all of them costs."""
    return solving_device(heads[0].device, float(task.features.size) * len(task.classes) * len(heads) * len(task.folds))


def _solve_all(heads: Sequence[LinearHead], task: FoldTask, device: torch.device) -> dict[tuple[int, int], Solved]:
    solved: dict[tuple[int, int], Solved] = {}
    present = task.fold_classes
    features = rotate(task.features, device=device)
    for limit in sorted({head.max_iter for head in heads}):
        chosen = [number for number, head in enumerate(heads) if head.max_iter == limit]
        for classes in sorted(set(present)):
            folds = [fold for fold, found in enumerate(present) if found == classes]
            solved |= solve_stack([heads[number] for number in chosen], chosen, folds, np.array(classes), features, task)
    return solved


def solve_stack(
    heads: Sequence[LinearHead],
    numbers: Sequence[int],
    folds: Sequence[int],
    classes: np.ndarray,
    features: RotatedFeatures,
    task: FoldTask,
) -> dict[tuple[int, int], Solved]:
    """Fit heads with one `max_iter` on folds that hold the same classes (codes `[c]`): all in one stack."""
    if not task.single:
        return solve_labels(heads, numbers, folds, features, task)
    asked, limit = _make_task(heads, folds, classes, features, task), int(heads[0].max_iter)
    tolerance = _tolerances(heads, len(folds))
    solution = solve_logistic(asked.features, asked.loss, asked.problems, tolerance=tolerance, max_iter=limit)
    warn_unconverged(solution.converged, limit)
    return dict(_read_solution(solution, heads, numbers, folds, classes, features, task))


def solve_folds(heads: Sequence[LinearHead], folds: Sequence[tuple[FoldTask, RotatedFeatures]]) -> list[dict[int, Solved]]:
    """Fit heads with one `max_iter` on folds with features of their own, of one class a sample: all side by side.

    Parameters
    ----------
    heads
        Fitted on every fold.
    folds
        Each a task with one fold; as many classes in all.
    """
    classes = [np.array(task.fold_classes[0]) for task, _ in folds]
    tasks = [_make_task(heads, [0], own, features, task) for own, (task, features) in zip(classes, folds, strict=True)]
    limit, numbers = int(heads[0].max_iter), range(len(heads))
    solutions = solve_side_by_side(tasks, np.tile(_tolerances(heads, 1), len(folds)), limit)
    warn_unconverged(np.concatenate([solution.converged for solution in solutions]), limit)
    return [
        {number: solved for (number, _), solved in _read_solution(solution, heads, numbers, [0], own, features, task)}
        for solution, own, (task, features) in zip(solutions, classes, folds, strict=True)
    ]


def _make_task(
    heads: Sequence[LinearHead], folds: Sequence[int], classes: np.ndarray, features: RotatedFeatures, task: FoldTask
) -> Task:
    """Return the problems of heads on folds that hold the same classes, fold after fold of a head."""
    place = np.zeros(len(task.classes), int)
    place[classes] = np.arange(len(classes))
    codes = torch.as_tensor(place[task.codes], device=features.values.device)
    loss: SoftmaxLoss | BinaryLoss
    loss = SoftmaxLoss(codes, len(classes)) if len(classes) > 2 else BinaryLoss(codes[None].float())
    kinds, kind_of = _distinct([head.class_weight for head in heads])
    weights = np.stack([_weights(kind, fold, classes, task) for kind in kinds for fold in folds]).astype(np.float32)
    C = np.array([float(head.C) for head in heads])
    weight_of = (kind_of[:, None] * len(folds) + np.arange(len(folds))).ravel()
    trial_of = np.arange(len(heads)).repeat(len(folds))
    return Task(features, loss, Problems(C[trial_of], weights, weight_of, np.zeros_like(trial_of), trial_of))


def _tolerances(heads: Sequence[LinearHead], folds: int) -> np.ndarray:
    return np.repeat([np.nan if head.tol is None else head.tol for head in heads], folds)


def _read_solution(
    solution: Solution,
    heads: Sequence[LinearHead],
    numbers: Sequence[int],
    folds: Sequence[int],
    classes: np.ndarray,
    features: RotatedFeatures,
    task: FoldTask,
) -> Iterator[tuple[tuple[int, int], Solved]]:
    points = solution.rotated.view(len(heads), len(folds), *solution.rotated.shape[1:])
    iterations = solution.iterations.reshape(len(heads), len(folds))
    for at, fold in enumerate(folds):
        values = features.values[task.folds[fold][1]]
        flat = product(values, points[:, at].reshape(-1, values.shape[1]).T)
        scores = flat.view(len(values), len(heads), -1).cpu().numpy()
        best = (scores[..., 0] > 0).astype(int) if len(classes) == 2 else scores.argmax(axis=2)
        for row, (number, head) in enumerate(zip(numbers, heads, strict=True)):
            found = Found(task.classes[classes], points[row, at], features.rotation, int(iterations[row, at]))
            yield (number, fold), Solved(classes[best[:, row]], partial(found.fitted, head, task.X))


def _weights(class_weight: Any, fold: int, classes: np.ndarray, task: FoldTask) -> np.ndarray:
    """Return the samples' weights `[n]` in one fold, as `LogisticRegression` computes them."""
    weight = task.fold_weights[fold]
    if class_weight is None:
        return weight
    train = task.folds[fold][0]
    labels, own = task.classes[task.codes[train]], None if task.weight is None else task.weight[train]
    by_class = np.ones(len(task.classes))
    by_class[classes] = compute_class_weight(class_weight, classes=task.classes[classes], y=labels, sample_weight=own)
    return weight * by_class[task.codes]


def _distinct(values: Sequence[Any]) -> tuple[list[Any], np.ndarray]:
    """Return the distinct values, and each value's place among them."""
    kinds: list[Any] = []
    for value in values:
        if not any(value == kind for kind in kinds):
            kinds.append(value)
    return kinds, np.array([next(n for n, kind in enumerate(kinds) if kind == value) for value in values])
