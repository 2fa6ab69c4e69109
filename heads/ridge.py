"""The ridge heads: least squares with an L2 penalty that leave-one-out errors choose, in closed form."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import _check_sample_weight

from heads.limits import ABOVE_ZERO, CLASS_WEIGHT, LISTED, Limits
from heads.scores import ClassifierHead, LinearRegressor, LinearScores
from heads.targets import class_weights

PENALTIES = np.logspace(-5, 1, 25)
ROWS_AT_ONCE = 2048


@dataclass(frozen=True)
class _Problem:
    """Features `[n, d]`, values to fit `[n, m]`, and samples' weights `[n]`."""

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray


class _Ridge:
    """What both heads share."""

    validates_inside: ClassVar[bool] = True
    alphas: Sequence[float] | float | None

    _parameter_constraints: ClassVar[Limits] = {"alphas": [ABOVE_ZERO, *LISTED]}

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Fit to features `[n, d]` and targets (labels `[n]`, an indicator or sets; or values), with weights `[n]` if given."""
        (solution,) = _solve(self._problem(X, y, sample_weight), [self.alphas])
        return self._keep(solution)

    def fit_each(self, choices: Sequence[Any], X: Any, y: Any, sample_weight: Any = None) -> list[Any]:
        """Return a fitted head for each of several values of `alphas`, all from one decomposition."""
        solutions = _solve(self._problem(X, y, sample_weight), choices)
        return [copy.copy(self)._keep(one, alphas=given) for given, one in zip(choices, solutions, strict=True)]

    def _problem(self, X: Any, y: Any, sample_weight: Any) -> _Problem:
        raise NotImplementedError

    def _keep(self, solution: "_Solution", **params: Any) -> Any:
        for name, value in params.items():
            setattr(self, name, value)
        self.alpha_, self.coef_, self.intercept_ = solution.alpha, solution.coef, solution.intercept
        return self


class RidgeHead(_Ridge, LinearScores, ClassifierHead):
    """Least squares on +1 and -1 for every class, with the penalty of the smallest leave-one-out error.

    One decomposition of the features gives all penalties and all leave-one-out errors (Golub, Heath and Wahba 1979), so that
    nothing has to be swept.

    Parameters
    ----------
    alphas
        Penalties to choose from, as shares of the features' squared norm by direction (the Gram matrix' mean eigenvalue), so
        that one range serves features of any scale and number; None for 25 from 1e-5 to 10.
    class_weight
        None, `balanced`, or class -> weight.

    Attributes
    ----------
    alpha_
        The penalty chosen, in scikit-learn's units.
    classes_, coef_, intercept_, multilabel_
        As in `LinearHead`.
    """

    saved_arrays = ("coef:rd", "intercept:r")
    saved_values = ("alpha",)

    _parameter_constraints: ClassVar[Limits] = {"class_weight": CLASS_WEIGHT}

    def __init__(self, alphas: Sequence[float] | float | None = None, class_weight: Any = None) -> None:
        self.alphas = alphas
        self.class_weight = class_weight

    def _problem(self, X: Any, y: Any, sample_weight: Any) -> _Problem:
        X, targets = self._read(X, y)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if targets.multilabel:
            if self.class_weight is not None:
                raise ValueError("RidgeHead weighs samples, not labels: it takes no `class_weight` where samples have several")
            signs = 2.0 * targets.values - 1
        else:
            weight = weight * class_weights(self.class_weight, targets)
            signs = 2.0 * (targets.values[:, None] == np.arange(len(targets.classes))) - 1
            signs = signs[:, 1:] if len(targets.classes) == 2 else signs
        return _Problem(X, signs, weight)


class RidgeRegressor(_Ridge, LinearRegressor):
    """Least squares with the penalty of the smallest leave-one-out error; parameters as in `RidgeHead`.

    Attributes
    ----------
    alpha_, coef_, intercept_
        The penalty chosen, `[m, d]` and `[m]`; `m` is 1 for values `[n]`.
    """

    saved_values = ("alpha", "single")

    def __init__(self, alphas: Sequence[float] | float | None = None) -> None:
        self.alphas = alphas

    def _problem(self, X: Any, y: Any, sample_weight: Any) -> _Problem:
        return _Problem(*self._read(X, y, sample_weight))


@dataclass(frozen=True)
class _Solution:
    """Penalty, weights `[m, d]` and intercepts `[m]`."""

    alpha: float
    coef: np.ndarray
    intercept: np.ndarray


def read_shares(alphas: Sequence[float] | float | None) -> np.ndarray:
    """Return the penalties to choose from, as shares `[p]`.

    Raises
    ------
    ValueError
        If there is none, or one is not above 0.
    """
    shares = np.atleast_1d(np.asarray(PENALTIES if alphas is None else alphas, float))
    if not (shares.size and (shares > 0).all()):
        raise ValueError(f"`alphas` are {alphas!r}; penalties must be above 0")
    return shares


def _solve(problem: _Problem, choices: Sequence[Any]) -> list[_Solution]:
    """Choose, among each of several ranges, the penalty by leave-one-out errors, and solve for it.

    In the eigenvectors of the weighted Gram matrix every penalty's solution is a division, and a sample's leave-one-out error
    is its residual over one minus its leverage. A weight of two is two samples, of which one at a time is left out.
    """
    X, y, weight = problem.X, problem.y, problem.weight
    ranges = [read_shares(alphas) for alphas in choices]
    mean_x, mean_y = np.average(X, axis=0, weights=weight), np.average(y, axis=0, weights=weight)
    powers, directions = _directions(X - mean_x.astype(X.dtype), weight)
    shares = np.unique(np.concatenate(ranges))
    penalties = shares * (powers.sum() / X.shape[1] or 1.0)
    inverse = 1 / (powers[:, None] + penalties)
    blocks = [slice(start, start + ROWS_AT_ONCE) for start in range(0, len(X), ROWS_AT_ONCE)]
    products = np.zeros((len(powers), y.shape[1]))
    for rows in blocks:
        products += ((X[rows] - mean_x) @ directions).T @ (weight[rows, None] * (y[rows] - mean_y))
    solutions = inverse[:, :, None] * products[:, None, :]  # [r, penalties, m]
    errors = np.zeros(len(penalties))
    for rows in blocks:
        Z = (X[rows] - mean_x) @ directions
        leverage = np.minimum(weight[rows, None], 1) * (Z**2 @ inverse + 1 / weight.sum())
        fitted = (Z @ solutions.reshape(len(powers), -1)).reshape(len(Z), len(penalties), -1)
        left_out = (fitted - (y[rows] - mean_y)[:, None]) / np.maximum(1 - leverage, 1e-12)[:, :, None]
        errors += np.einsum("n,npm->p", weight[rows], left_out**2)
    found = []
    for own in ranges:
        among = np.searchsorted(shares, own)
        best = int(among[errors[among].argmin()])
        coef = (directions @ solutions[:, best]).T
        found.append(_Solution(float(penalties[best]), coef.astype(X.dtype), (mean_y - coef @ mean_x).astype(X.dtype)))
    return found


def _directions(X: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues `[r]` and eigenvectors `[d, r]` of `X.T @ diag(weight) @ X`, through the smaller of its two Grams."""
    if len(X) > X.shape[1]:
        gram = np.zeros((X.shape[1], X.shape[1]))
        for start in range(0, len(X), ROWS_AT_ONCE):
            part = X[start : start + ROWS_AT_ONCE].astype(np.float64)
            gram += part.T @ (part * weight[start : start + ROWS_AT_ONCE, None])
        powers, directions = np.linalg.eigh(gram)
        return powers.clip(min=0), directions
    scaled = X.astype(np.float64) * np.sqrt(weight)[:, None]
    powers, samples = np.linalg.eigh(scaled @ scaled.T)
    kept = powers > powers.max(initial=0) * len(X) * np.finfo(np.float64).eps
    powers, samples = powers[kept], samples[:, kept]
    return powers, scaled.T @ samples / np.sqrt(powers)
