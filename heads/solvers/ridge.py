"""The engine of the ridge heads: one eigendecomposition a fold and class weight serves every choice of penalties."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from sklearn.utils import _safe_indexing

from heads.ridge import read_shares
from heads.solvers.engine import FoldTask, Solved


class RidgeEngine:
    """Fits ridge heads that differ in `alphas` together, each with the penalty that it would choose alone."""

    def takes(self, head: Any, task: FoldTask) -> bool:
        """Whether the penalties are ones that fitting would not refuse."""
        try:
            read_shares(head.alphas)
        except (TypeError, ValueError):
            return False
        return True

    def solve(self, heads: Sequence[Any], task: FoldTask) -> Iterator[tuple[int, list[Solved]]]:
        """Fit every head on every fold, those that weigh classes alike together."""
        groups: dict[str, list[int]] = {}
        for number, head in enumerate(heads):
            groups.setdefault(repr(getattr(head, "class_weight", None)), []).append(number)
        for numbers in groups.values():
            by_fold = [_fit_fold([heads[number] for number in numbers], fold, task) for fold in range(len(task.folds))]
            for at, number in enumerate(numbers):
                yield number, [solved[at] for solved in by_fold]


def _fit_fold(heads: Sequence[Any], fold: int, task: FoldTask) -> list[Solved]:
    """Fit heads that differ in `alphas` alone on one fold; what fitting one would raise, all have as their error."""
    train = task.folds[fold][0]
    X, y = _safe_indexing(task.X, train), _safe_indexing(task.y, train)
    weight = None if task.weight is None else task.weight[train]
    try:
        fitted = heads[0].fit_each([head.alphas for head in heads], X, y, weight)
    except Exception as error:  # a trial that fails is a result, whatever it raises
        return [Solved(None, partial(_itself, head), error) for head in heads]
    return [Solved(None, partial(_itself, head)) for head in fitted]


def _itself(head: Any) -> Any:
    return head
