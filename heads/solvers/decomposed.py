"""The engines of the ridge and LDA heads: one eigendecomposition a fold serves every penalty, and every shrinkage."""

from collections.abc import Iterator, Sequence
from functools import partial
from numbers import Real
from typing import Any, ClassVar

from sklearn.utils import _safe_indexing

from heads.limits import is_allowed
from heads.ridge import read_shares
from heads.solvers.engine import FoldTask, Solved


class DecomposedEngine:
    """Fits heads that differ in one parameter together, each as it would be fitted alone: by their `fit_each`."""

    parameter: ClassVar[str]

    def takes(self, head: Any, task: FoldTask) -> bool:
        """Whether fitting together and fitting alone are the same with this value of the parameter."""
        raise NotImplementedError

    def solve(self, heads: Sequence[Any], task: FoldTask) -> Iterator[tuple[int, list[Solved]]]:
        """Fit every head on every fold."""
        groups: dict[str, list[int]] = {}
        for number, head in enumerate(heads):
            others = {name: value for name, value in head.get_params().items() if name != self.parameter}
            groups.setdefault(repr(others), []).append(number)
        for numbers in groups.values():
            chosen = [heads[number] for number in numbers]
            by_fold = [self._fit_fold(chosen, fold, task) for fold in range(len(task.folds))]
            for at, number in enumerate(numbers):
                yield number, [solved[at] for solved in by_fold]

    def _fit_fold(self, heads: Sequence[Any], fold: int, task: FoldTask) -> list[Solved]:
        """Fit heads that differ in the parameter alone on one fold; what fitting one would raise, all have as their error."""
        train = task.folds[fold][0]
        weighted = {} if task.weight is None else {"sample_weight": task.weight[train]}
        choices = [getattr(head, self.parameter) for head in heads]
        try:
            fitted = heads[0].fit_each(choices, _safe_indexing(task.X, train), _safe_indexing(task.y, train), **weighted)
        except Exception as error:  # a trial that fails is a result, whatever it raises
            return [Solved(None, partial(_itself, head), error) for head in heads]
        return [Solved(None, partial(_itself, head)) for head in fitted]


class RidgeEngine(DecomposedEngine):
    """Fits ridge heads with different `alphas`; each chooses among its own."""

    parameter = "alphas"

    def takes(self, head: Any, task: FoldTask) -> bool:
        """Whether the penalties are ones that fitting would not refuse."""
        try:
            read_shares(head.alphas)
        except (TypeError, ValueError):
            return False
        return is_allowed(head)


class LDAEngine(DecomposedEngine):
    """Fits LDA heads with different numbers for `shrinkage`."""

    parameter = "shrinkage"

    def takes(self, head: Any, task: FoldTask) -> bool:
        """Whether the shrinkage is a share, and samples have one label: with more, fitting would fail."""
        value = head.shrinkage
        usable = isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) <= 1
        return usable and task.single and is_allowed(head)


def _itself(head: Any) -> Any:
    return head
