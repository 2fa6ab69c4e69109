"""The greedy head: outputs added one after the other as long as validation gains, and a linear head on these."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.utils._param_validation import Interval

from heads.blocks import read_blocks
from heads.limits import FROM_ONE, LISTED, Limits
from heads.scaling import fit_scaling
from heads.selecting import Aim, Selecting, SelectingHead, SelectingRegressor

AXES = 128
"""Leading principal axes of each output that the search looks at."""
PENALTIES = (1e-3, 1e-2, 1e-1)
"""Of the ridge that judges a choice, as shares of the features' mean variance times their number: the best one counts."""

ERRORS = 2
"""Standard errors that a gain has to exceed: the luckiest of twenty outputs that say nothing gains almost as many."""


class _Greedy(Selecting):
    """What the classifier and the regressor share."""

    most: int
    folds: int
    blocks: Sequence[int] | None
    random_state: int

    ranked_by = ("most", "folds", "random_state", "blocks")
    validates_inside: ClassVar[bool] = True

    _parameter_constraints: ClassVar[Limits] = {
        "most": [FROM_ONE],
        "folds": [Interval(Integral, 2, None, closed="left")],
        "blocks": LISTED,
        "random_state": ["random_state"],
    }

    def check(self, width: int) -> None:
        """Refuse parameters that do not go with features of this width."""
        read_blocks(self.blocks, width)
        if self.most < 1 or self.folds < 2:
            raise ValueError(f"`most` is {self.most!r} and `folds` {self.folds!r}; at least 1 output and 2 folds are needed")

    def rank(self, X: np.ndarray, aim: Aim, weight: np.ndarray) -> np.ndarray:
        """Return the outputs that the search chose, in the order chosen."""
        widths = read_blocks(self.blocks, X.shape[1])
        if len(widths) == 1 or len(X) < 2 * self.folds:
            return np.arange(len(widths))
        search = _search(X, aim, weight, widths, self.folds, self.random_state)
        chosen: list[int] = []
        reached = torch.full((1,), -torch.inf)
        while len(chosen) < min(self.most, len(widths)):
            found = {block: search.right([*chosen, block]) for block in range(len(widths)) if block not in chosen}
            best = max(found, key=lambda block: float(found[block].mean()))
            gain = found[best] - reached
            if chosen and gain.mean() <= ERRORS * gain.std() / len(gain) ** 0.5:
                break
            chosen.append(best)
            reached = found[best]
        return np.array(chosen)

    def kept(self, ranking: np.ndarray, width: int) -> np.ndarray:
        """Return the chosen outputs' columns, ascending."""
        widths = read_blocks(self.blocks, width)
        return np.flatnonzero(np.isin(np.repeat(np.arange(len(widths)), widths), ranking))


class GreedyHead(_Greedy, SelectingHead):
    """Forward selection of outputs, each judged by cross-validation inside the training samples.

    The search begins with the output that predicts best alone and adds the one that helps most, as long as that gains more
    than twice the standard error of the gain. It judges
    by a ridge classifier on the outputs' leading principal axes, which is solved in closed form out of products of the
    features that are computed once; the linear head is then fitted on all features of the chosen outputs.

    Parameters
    ----------
    most
        Most outputs.
    folds, random_state
        Of the cross-validation inside.
    C, standardize, whiten, class_weight
        Of the linear head; see `LinearHead`.
    blocks
        Width of every output, which stand side by side in X; None for a single one.

    Attributes
    ----------
    selected_
        Columns that are used.
    others
        See `SelectingHead`.
    """

    def __init__(
        self,
        most: int = 6,
        folds: int = 3,
        C: float = 0.1,
        standardize: bool = True,
        whiten: float | None = None,
        class_weight: Any = None,
        blocks: Sequence[int] | None = None,
        random_state: int = 0,
    ) -> None:
        self.most = most
        self.folds = folds
        self.C = C
        self.standardize = standardize
        self.whiten = whiten
        self.class_weight = class_weight
        self.blocks = blocks
        self.random_state = random_state


class GreedyRegressor(_Greedy, SelectingRegressor):
    """`GreedyHead` for values: a choice is judged by its squared errors on standardised targets, and a ridge is fitted to it.

    Parameters
    ----------
    most, folds, random_state, blocks
        As in `GreedyHead`.
    alphas
        Penalties of the ridge, of which leave-one-out errors choose one; see `RidgeRegressor`.
    standardize
        Whether the ridge's penalty meets features of mean zero and deviation one.

    Attributes
    ----------
    selected_
        Columns that are used.
    others
        See `SelectingRegressor`.
    """

    def __init__(
        self,
        most: int = 6,
        folds: int = 3,
        alphas: Sequence[float] | float | None = None,
        standardize: bool = True,
        blocks: Sequence[int] | None = None,
        random_state: int = 0,
    ) -> None:
        self.most = most
        self.folds = folds
        self.alphas = alphas
        self.standardize = standardize
        self.blocks = blocks
        self.random_state = random_state


@dataclass(frozen=True)
class _Fold:
    """What one fold of the search is solved from.

    Attributes
    ----------
    gram
        `[p, p]`, products of the training part's features, all outputs' leading axes side by side.
    aims
        `[p, c]`, their products with the targets.
    middle
        The targets' mean `[c]`.
    left_out, true, weight
        Of the part left out: features `[t, p]`, what they are to predict `[t, c]`, and the samples' weights `[t]`.
    """

    gram: torch.Tensor
    aims: torch.Tensor
    middle: torch.Tensor
    left_out: torch.Tensor
    true: torch.Tensor
    weight: torch.Tensor


@dataclass(frozen=True)
class _Search:
    """Judges choices of outputs.

    Attributes
    ----------
    places
        The columns of every output's axes.
    kind
        Of the aim, which says when a sample is predicted well.
    """

    folds: Sequence[_Fold]
    places: Sequence[torch.Tensor]
    kind: str

    def right(self, blocks: Sequence[int]) -> torch.Tensor:
        """Return how well each sample is predicted by a choice when it is left out, times its weight `[n]`.

        The penalty is the one that does so best in the mean.
        """
        columns = torch.cat([self.places[block] for block in blocks])
        return max(torch.cat([self._judge(fold, columns) for fold in self.folds], dim=1), key=lambda right: float(right.mean()))

    def _judge(self, fold: _Fold, columns: torch.Tensor) -> torch.Tensor:
        """Return for each penalty how well the samples left out are predicted `[penalties, t]`."""
        gram = fold.gram[columns][:, columns]
        size = gram.diagonal().sum()
        unit = torch.eye(len(columns), dtype=gram.dtype) * (size if size > 0 else 1)
        grams = torch.stack([gram + penalty * unit for penalty in PENALTIES])
        weights = torch.cholesky_solve(fold.aims[columns].expand(len(PENALTIES), -1, -1), torch.linalg.cholesky(grams))
        said = fold.left_out[:, columns] @ weights + fold.middle
        if self.kind == "numbers":
            return -(said - fold.true).square().mean(dim=-1) * fold.weight
        if self.kind == "labels":
            return ((said > 0) == (fold.true > 0)).to(said.dtype).mean(dim=-1) * fold.weight
        return (said.argmax(dim=-1) == fold.true.argmax(dim=-1)).to(said.dtype) * fold.weight


def _search(X: np.ndarray, aim: Aim, weight: np.ndarray, widths: Sequence[int], folds: int, random_state: int) -> _Search:
    """Prepare the search: each output's leading axes, and their products in every fold."""
    values = torch.cat(list(_leading_axes(X, weight, widths)), dim=1)
    ends = np.cumsum([min(width, AXES, len(X)) for width in widths])
    places = [torch.arange(end - min(width, AXES, len(X)), end) for width, end in zip(widths, ends.tolist(), strict=True)]
    aims = torch.as_tensor(aim.values if aim.kind == "numbers" else 2 * aim.values - 1, dtype=values.dtype)
    shares = torch.as_tensor(weight, dtype=values.dtype)
    codes = aim.values.argmax(axis=1) if aim.kind == "classes" and aim.values.sum(axis=0).max() >= folds else None
    splitter = (KFold if codes is None else StratifiedKFold)(folds, shuffle=True, random_state=random_state)
    prepared = []
    for train, test in splitter.split(np.zeros(len(X)), codes):
        known, weighted = values[train], values[train] * shares[train, None]
        middle = (shares[train, None] * aims[train]).sum(dim=0) / shares[train].sum()
        about = weighted.T @ (aims[train] - middle)
        prepared.append(_Fold(known.T @ weighted, about, middle, values[test], aims[test], shares[test]))
    return _Search(prepared, places, aim.kind)


def _leading_axes(X: np.ndarray, weight: np.ndarray, widths: Sequence[int]) -> Iterator[torch.Tensor]:
    """Give every output's standardised features in its leading principal axes, output by output."""
    begin = 0
    for width in widths:
        block = X[:, begin : begin + width]
        values = torch.from_numpy(fit_scaling(block, weight).apply(block))
        count = min(width, AXES, len(X))
        if width > count:
            _, vectors = torch.linalg.eigh(values.T @ values)
            values = values @ vectors[:, -count:]
        yield values
        begin += width
