"""The engine of the linear head, also where features are standardised or whitened.

Then every fold has features of its own, since what they are prepared by must not come from the samples that it is judged on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from heads.devices import run_on
from heads.limits import is_allowed
from heads.linear import LinearHead
from heads.preparation import unscale, whitened
from heads.scaling import Scaling, fit_scaling
from heads.solvers.engine import FoldTask, Solved
from heads.solvers.linear import LinearEngine, place_of, solve_folds, solve_stack
from heads.solvers.rotation import RotatedFeatures, rotate

SMALL = 2**24
"""Numbers in the features of all folds, up to which folds are solved side by side; of more, products are all that counts."""

Fold = tuple[FoldTask, RotatedFeatures, Scaling | None]


class PreparedEngine:
    """Solves `LinearHead` trials together: one rotation of a fold's features serves all penalties and all whitenings."""

    def takes(self, head: LinearHead, task: FoldTask) -> bool:
        """Whether the parameters are ones that the solver knows."""
        return is_allowed(head) and LinearEngine().takes(_plain(head), task)

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
            chosen, count = [heads[number] for number in numbers], len(task.folds)
            device = place_of(chosen, task)
            together = count if task.features.size * count <= SMALL and task.single else 1
            folds = []
            for first in range(0, count, together):
                some = range(first, min(first + together, count))
                folds += run_on(device, partial(_solve_some, chosen, task, some, standardize))
            for at, number in enumerate(numbers):
                yield number, [solved[at] for solved in folds]


def _solve_some(
    heads: Sequence[LinearHead], task: FoldTask, folds: Sequence[int], standardize: bool, device: torch.device
) -> list[list[Solved]]:
    return _solve_folds(heads, [_rotate_fold(task, fold, standardize, device) for fold in folds])


def _rotate_fold(task: FoldTask, fold: int, standardize: bool, device: torch.device) -> Fold:
    """Return one fold as a task of its own, and its features in the axes of its training part."""
    train, _ = task.folds[fold]
    scaling = fit_scaling(task.features, task.fold_weights[fold]) if standardize else None
    rotated = rotate(task.features, device=device, scaling=scaling, trained=train)
    return replace(task, folds=[task.folds[fold]]), rotated, scaling


def _solve_folds(heads: Sequence[LinearHead], folds: Sequence[Fold]) -> list[list[Solved]]:
    """Fit heads on folds, those of one whitening in one stack, and folds of as many classes side by side."""
    solved: list[dict[int, Solved]] = [{} for _ in folds]
    for kind in dict.fromkeys((head.whiten, head.max_iter) for head in heads):
        numbers = [number for number, head in enumerate(heads) if (head.whiten, head.max_iter) == kind]
        plain = [_plain(heads[number]) for number in numbers]
        given = [(task, _whitened(rotated, kind[0], task)) for task, rotated, _ in folds]
        for places in _alike([len(task.fold_classes[0]) for task, _ in given]):
            if len(places) > 1:
                found = solve_folds(plain, [given[place] for place in places])
            else:
                [(task, features)] = [given[place] for place in places]
                alone = solve_stack(plain, range(len(plain)), [0], np.array(task.fold_classes[0]), features, task)
                found = [{at: one for (at, _), one in alone.items()}]
            for place, of_fold in zip(places, found, strict=True):
                for at, number in enumerate(numbers):
                    restored = partial(_restored, heads[number], of_fold[at], folds[place][2])
                    solved[place][number] = Solved(of_fold[at].predicted, restored)
    return [[of_fold[number] for number in range(len(heads))] for of_fold in solved]


def _whitened(rotated: RotatedFeatures, power: Any, task: FoldTask) -> RotatedFeatures:
    return rotated if power is None else whitened(rotated, float(power), task.folds[0][0])


def _alike(counts: Sequence[int]) -> list[list[int]]:
    """Return places of equal numbers together."""
    return [[place for place, count in enumerate(counts) if count == kind] for kind in dict.fromkeys(counts)]


def _plain(head: LinearHead) -> LinearHead:
    plain: LinearHead = clone(head).set_params(standardize=False, whiten=None)
    return plain


def _restored(head: LinearHead, solved: Solved, scaling: Scaling | None) -> Any:
    """Build the head that `fit` would leave behind."""
    fitted: Any = solved.head()
    fitted.set_params(standardize=head.standardize, whiten=head.whiten)
    fitted.coef_, fitted.intercept_ = unscale(fitted.coef_, fitted.intercept_, scaling)
    return fitted
