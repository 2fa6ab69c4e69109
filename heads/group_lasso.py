"""The group-lasso head: features, or whole outputs, kept by their relevance, and a linear head on these."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval

from heads.blocks import read_blocks
from heads.limits import LISTED, Limits, one_of
from heads.scaling import fit_scaling
from heads.selecting import Aim, Selecting, SelectingHead, SelectingRegressor

STEPS = 100


class _GroupLasso(Selecting):
    """What the classifier and the regressor share."""

    keep: float
    per: str
    strength: float
    blocks: Sequence[int] | None

    ranked_by = ("per", "strength", "blocks")

    _parameter_constraints: ClassVar[Limits] = {
        "keep": [Interval(Real, 0, 1, closed="right")],
        "per": [one_of("feature", "output")],
        "strength": [Interval(Real, 0, 1, closed="neither")],
        "blocks": LISTED,
    }

    def check(self, width: int) -> None:
        """Refuse parameters that do not go with features of this width."""
        if not 0 < self.keep <= 1:
            raise ValueError(f"`keep` is {self.keep!r}; it may be above 0 and at most 1")
        if not 0 < self.strength < 1:
            raise ValueError(f"`strength` is {self.strength!r}; it may be above 0 and below 1")
        if self.per not in ("feature", "output"):
            raise ValueError(f"`per` is {self.per!r}; it may be feature or output")
        read_blocks(self.blocks, width)

    def rank(self, X: np.ndarray, aim: Aim, weight: np.ndarray) -> np.ndarray:
        """Return the features, or the outputs, most relevant first."""
        return np.argsort(-relevance(X, aim, weight, self._groups(X.shape[1]), self.strength), kind="stable")

    def kept(self, ranking: np.ndarray, width: int) -> np.ndarray:
        """Return the columns to keep, ascending."""
        best = ranking[: math.ceil(self.keep * len(ranking) - 1e-9)]
        return np.flatnonzero(np.isin(self._groups(width), best))

    def _groups(self, width: int) -> np.ndarray:
        """Return every column's group `[d]`."""
        if self.per == "feature":
            return np.arange(width)
        widths = read_blocks(self.blocks, width)
        return np.repeat(np.arange(len(widths)), widths)


class GroupLassoHead(_GroupLasso, SelectingHead):
    """Selection by group lasso over the features of many layers, after Head2Toe (Evci et al. 2022).

    A linear classifier with a penalty on the norm of each feature's weights over all classes (Yuan and Lin 2006) is fitted to
    standardised features; a feature's relevance is the norm of its weights. The most relevant ones go to a linear head.
    Features whose weights are zero come after all others, by how well they go with the classifier's errors.

    Parameters
    ----------
    keep
        Share of the features, or of the outputs, that is kept: above 0, at most 1.
    per
        `feature`, or `output`: the weights of all of an output's features are one group.
    strength
        Of the penalty, as a share of the one at which all weights are zero.
    C, standardize, whiten, class_weight
        Of the linear head; see `LinearHead`.
    blocks
        Width of every output, which stand side by side in X; needed for `per="output"` alone.

    Attributes
    ----------
    selected_
        Columns that are used.
    others
        See `SelectingHead`.
    """

    def __init__(
        self,
        keep: float = 0.25,
        per: str = "feature",
        strength: float = 0.01,
        C: float = 0.1,
        standardize: bool = True,
        whiten: float | None = None,
        class_weight: Any = None,
        blocks: Sequence[int] | None = None,
    ) -> None:
        self.keep = keep
        self.per = per
        self.strength = strength
        self.C = C
        self.standardize = standardize
        self.whiten = whiten
        self.class_weight = class_weight
        self.blocks = blocks


class GroupLassoRegressor(_GroupLasso, SelectingRegressor):
    """`GroupLassoHead` for values: a least-squares loss over standardised targets ranks, and a ridge is fitted to what is kept.

    Parameters
    ----------
    keep, per, strength, blocks
        As in `GroupLassoHead`.
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
        keep: float = 0.25,
        per: str = "feature",
        strength: float = 0.01,
        alphas: Sequence[float] | float | None = None,
        standardize: bool = True,
        blocks: Sequence[int] | None = None,
    ) -> None:
        self.keep = keep
        self.per = per
        self.strength = strength
        self.alphas = alphas
        self.standardize = standardize
        self.blocks = blocks


@dataclass(frozen=True)
class _Loss:
    """A loss: the mean that scores `[n, c]` stand for, the scores of a mean `[c]`, and its largest second derivative."""

    mean: Callable[[torch.Tensor], torch.Tensor]
    start: Callable[[torch.Tensor], torch.Tensor]
    curvature: float


LOSSES = {
    "classes": _Loss(lambda scores: scores.softmax(dim=1), lambda mean: mean.clamp(min=1e-6).log(), 0.5),  # Boehning 1992
    "labels": _Loss(torch.sigmoid, lambda mean: mean.clamp(1e-6, 1 - 1e-6).logit(), 0.25),
    "numbers": _Loss(lambda scores: scores, lambda mean: mean, 1.0),
}


def relevance(X: np.ndarray, aim: Aim, weight: np.ndarray, groups: np.ndarray, strength: float) -> np.ndarray:
    """Return the relevance of groups of features: the norm of their weights in a group lasso.

    The minimum is approached by accelerated proximal gradients (Beck and Teboulle 2009) with restarts (O'Donoghue and Candes
    2015), a fixed number of them, each two products with X: time grows with `n * d * c`, memory with `n * d`.

    Parameters
    ----------
    X, aim, weight
        Features `[n, d]`, which are standardised here; what they are to predict (softmax for classes, sigmoids for labels,
        squares for numbers); and the samples' weights `[n]`.
    groups
        Every feature's group `[d]`, numbered from 0 without gaps.
    strength
        Of the penalty, as a share of the one at which all weights are zero.

    Returns
    -------
    array
        `[g]`: at least 1 for groups with weights; below 1 for all others, by the norm of their gradient.
    """
    loss = LOSSES[aim.kind]
    scaling = fit_scaling(X, weight)
    values = torch.from_numpy(scaling.apply(X))
    true = torch.as_tensor(aim.values, dtype=values.dtype)
    share = torch.as_tensor(weight / weight.sum(), dtype=values.dtype)[:, None]
    place = torch.as_tensor(groups)
    count = int(groups.max()) + 1
    size = torch.bincount(place).to(values.dtype).sqrt()

    def norms(weights: torch.Tensor) -> torch.Tensor:
        return torch.zeros(count, dtype=values.dtype).index_add_(0, place, weights.square().sum(dim=1)).sqrt()

    def gradient(weights: torch.Tensor, intercept: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        error = (loss.mean(values @ weights + intercept) - true) * share
        return values.T @ error, error.sum(dim=0)

    intercept = loss.start((true * share).sum(dim=0))
    weights = torch.zeros(values.shape[1], true.shape[1], dtype=values.dtype)
    penalty = strength * float((norms(gradient(weights, intercept)[0]) / size).max()) * size
    step = 1 / (loss.curvature * (_largest_eigenvalue(values, share) + 1))
    ahead, ahead_intercept, momentum = weights, intercept, 1.0
    for _ in range(STEPS):
        slope, slope_intercept = gradient(ahead, ahead_intercept)
        moved, next_intercept = ahead - step * slope, ahead_intercept - step * slope_intercept
        shrink = (1 - step * penalty / norms(moved).clamp(min=1e-30)).clamp(min=0)
        moved = moved * shrink[place][:, None]
        change = moved - weights
        if float(((ahead - moved) * change).sum()) > 0:
            momentum = 1.0
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        push = (momentum - 1) / following
        ahead, ahead_intercept = moved + push * change, next_intercept + push * (next_intercept - intercept)
        weights, intercept, momentum = moved, next_intercept, following
    used = norms(weights) / size
    left = norms(gradient(weights, intercept)[0]) / size
    found = torch.where(used > 0, 1 + used, left / left.max().clamp(min=1e-30) * (1 - 1e-6))
    return found.double().numpy()


def _largest_eigenvalue(values: torch.Tensor, share: torch.Tensor, rounds: int = 12) -> float:
    """Estimate the largest eigenvalue of the covariance by power iteration, a little too large."""
    vector = torch.ones(values.shape[1], dtype=values.dtype) + 0.1 * torch.cos(torch.arange(values.shape[1]))
    size = 0.0
    for _ in range(rounds):
        vector = values.T @ (share[:, 0] * (values @ (vector / vector.norm())))
        size = float(vector.norm())
    return 1.05 * size
