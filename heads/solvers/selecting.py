"""The engine of heads that choose among features: one ranking a fold serves all trials that agree on it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import _check_feature_names, _check_n_features

from heads.limits import is_allowed
from heads.selecting import Aim, SelectingHead
from heads.solvers.engine import FoldTask, Solved
from heads.solvers.prepared import PreparedEngine
from heads.targets import Targets


class SelectingEngine:
    """Solves trials of a selecting head fold by fold: a ranking for all that share it, a stack for all that keep the same."""

    def takes(self, head: SelectingHead, task: FoldTask) -> bool:
        """Whether its linear head is one that the solver knows, and it can say which columns it keeps."""
        try:
            head.check(task.features.shape[1])
        except (TypeError, ValueError):
            return False
        return task.single and is_allowed(head) and PreparedEngine().takes(head.linear(), task)

    def solve(self, heads: Sequence[Any], task: FoldTask) -> Iterator[tuple[int, list[Solved]]]:
        """Fit every head on every fold."""
        folds = [self._solve_fold(heads, replace(task, folds=[fold])) for fold in task.folds]
        for number in range(len(heads)):
            yield number, [solved[number] for solved in folds]

    def _solve_fold(self, heads: Sequence[Any], task: FoldTask) -> dict[int, Solved]:
        ((train, _),) = task.folds
        codes = np.array(task.fold_classes[0])
        aim = Aim.of_targets(Targets(task.classes[codes], np.searchsorted(codes, task.codes[train])))
        weight = np.ones(len(train)) if task.weight is None else task.weight[train]
        solved: dict[int, Solved] = {}
        rankings: dict[tuple, np.ndarray] = {}
        together: dict[bytes, list[int]] = {}
        kept: dict[bytes, np.ndarray] = {}
        for number, head in enumerate(heads):
            key = tuple(repr(getattr(head, name)) for name in head.ranked_by)
            if key not in rankings:
                rankings[key] = head.rank(task.features[train], aim, weight)
            columns = head.kept(rankings[key], task.features.shape[1])
            together.setdefault(columns.tobytes(), []).append(number)
            kept[columns.tobytes()] = columns
        for mark, numbers in together.items():
            features = np.ascontiguousarray(task.features[:, kept[mark]])
            part = replace(task, X=features[:1].copy(), features=features)
            for at, (one,) in PreparedEngine().solve([heads[number].linear() for number in numbers], part):
                solved[numbers[at]] = Solved(one.predicted, partial(_widened, heads[numbers[at]], one, kept[mark], task.X))
        return solved


def _widened(head: Any, solved: Solved, kept: np.ndarray, X: Any) -> Any:
    """Build the head that `fit` would leave behind."""
    linear: Any = solved.head()
    head = clone(head)
    _check_feature_names(head, X, reset=True)
    _check_n_features(head, X, reset=True)
    head.widen(linear.coef_, linear.intercept_, kept)
    head.classes_, head.multilabel_ = linear.classes_, False
    return head
