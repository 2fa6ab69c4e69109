"""The engine of the linear head, also where features are standardised or whitened.

Then it goes fold by fold, since what a fold's features are prepared by must not come from the samples that it is judged on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import clone

from heads.linear import LinearHead
from heads.preparation import unscale, whitened
from heads.scaling import Scaling, fit_scaling
from heads.solvers.engine import FoldTask, Solved
from heads.solvers.linear import LinearEngine, solve_stack
from heads.solvers.rotation import RotatedFeatures, rotate

Fold = tuple[FoldTask, RotatedFeatures, Scaling | None]


class PreparedEngine:
    """Solves `LinearHead` trials together: one rotation of a fold's features serves all penalties and all whitenings."""

    def takes(self, head: LinearHead, task: FoldTask) -> bool:
        """Whether the parameters are ones that the solver knows."""
        usable = head.whiten is None or (isinstance(head.whiten, Real) and float(head.whiten) > 0)
        return isinstance(head.standardize, bool) and usable and LinearEngine().takes(_plain(head), task)

    def solve(self, heads: Sequence[LinearHead], task: FoldTask) -> Iterator[tuple[int, list[Solved]]]:
        """Fit every head on every fold."""
        groups: dict[tuple[bool, bool], list[int]] = {}
        for number, head in enumerate(heads):
            groups.setdefault((head.standardize, head.whiten is not None), []).append(number)
        for at, solved in LinearEngine().solve([heads[number] for number in groups.get((False, False), ())], task):
            yield groups[False, False][at], solved
        for standardize in (False, True):
            numbers = [
                n for (scaled, white), group in groups.items() if scaled == standardize and (scaled or white) for n in group
            ]
            if not numbers:
                continue
            chosen = [heads[number] for number in numbers]
            folds = [_solve_fold(chosen, _rotate_fold(task, fold, standardize)) for fold in range(len(task.folds))]
            for at, number in enumerate(numbers):
                yield number, [solved[at] for solved in folds]


def _rotate_fold(task: FoldTask, fold: int, standardize: bool) -> Fold:
    """Return one fold as a task of its own, and its features in the axes of its training part."""
    train, _ = task.folds[fold]
    scaling = fit_scaling(task.features, task.fold_weights[fold]) if standardize else None
    rotated = rotate(task.features, scaling=scaling, trained=train)
    return replace(task, folds=[task.folds[fold]]), rotated, scaling


def _solve_fold(heads: Sequence[LinearHead], fold: Fold) -> list[Solved]:
    """Fit heads on one fold, those of one whitening in one stack."""
    task, rotated, scaling = fold
    train, _ = task.folds[0]
    solved: dict[int, Solved] = {}
    for kind in dict.fromkeys((head.whiten, head.max_iter) for head in heads):
        numbers = [number for number, head in enumerate(heads) if (head.whiten, head.max_iter) == kind]
        features = rotated if kind[0] is None else whitened(rotated, float(kind[0]), train)
        plain = [_plain(heads[number]) for number in numbers]
        found = solve_stack(plain, numbers, [0], np.array(task.fold_classes[0]), features, task)
        for number in numbers:
            one = found[number, 0]
            solved[number] = Solved(one.predicted, partial(_restored, heads[number], one, scaling))
    return [solved[number] for number in range(len(heads))]


def _plain(head: LinearHead) -> LinearHead:
    plain: LinearHead = clone(head).set_params(standardize=False, whiten=None)
    return plain


def _restored(head: LinearHead, solved: Solved, scaling: Scaling | None) -> Any:
    """Build the head that `fit` would leave behind."""
    fitted: Any = solved.head()
    fitted.set_params(standardize=head.standardize, whiten=head.whiten)
    fitted.coef_, fitted.intercept_ = unscale(fitted.coef_, fitted.intercept_, scaling)
    return fitted
