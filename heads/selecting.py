"""What heads share that choose among features before a linear head is fitted on those chosen."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.utils.validation import _check_sample_weight

from heads.limits import ABOVE_ZERO, CLASS_WEIGHT, LISTED, PENALTY, Limits
from heads.linear import LinearHead
from heads.preparation import prepare
from heads.ridge import RidgeRegressor
from heads.scores import ClassifierHead, LinearProbabilities, LinearRegressor
from heads.targets import Targets


@dataclass(frozen=True)
class Aim:
    """What columns are chosen to predict.

    Attributes
    ----------
    values
        `[n, c]`: 1 where a sample has a class or a label and 0 elsewhere; or numbers of mean zero and deviation one.
    kind
        `classes` of which a sample has one, `labels` of which it has any number, or `numbers`.
    """

    values: np.ndarray
    kind: Literal["classes", "labels", "numbers"]

    @classmethod
    def of_targets(cls, targets: Targets) -> "Aim":
        """Return the aim of a classifier."""
        if targets.multilabel:
            return cls(targets.values.astype(np.float64), "labels")
        return cls(np.eye(len(targets.classes))[targets.values], "classes")

    @classmethod
    def of_numbers(cls, y: np.ndarray, weight: np.ndarray) -> "Aim":
        """Return the aim of a regressor for values `[n, m]` of samples with weights `[n]`: every target counts the same."""
        middle = np.average(y, axis=0, weights=weight)
        deviation = np.sqrt(np.average((y - middle) ** 2, axis=0, weights=weight))
        return cls((y - middle) / np.where(deviation > 0, deviation, 1.0), "numbers")


class Selecting:
    """What classifiers and regressors that choose columns share.

    A child says how columns are ranked and how many of a ranking are kept. Both see the samples given to `fit` alone, so
    that in cross-validation nothing of the part left out is known.
    """

    n_features_in_: int
    coef_: np.ndarray
    intercept_: np.ndarray

    ranked_by: tuple[str, ...] = ()
    """The parameters that a ranking depends on: trials that share these share it."""

    def widen(self, coef: np.ndarray, intercept: np.ndarray, kept: np.ndarray) -> None:
        """Take over coefficients `[c, k]` of the columns `kept [k]`, with zeros for all others."""
        self.coef_ = np.zeros((len(coef), self.n_features_in_), coef.dtype)
        self.coef_[:, kept] = coef
        self.intercept_ = intercept

    @property
    def selected_(self) -> np.ndarray:
        """The columns that are used."""
        return np.flatnonzero((self.coef_ != 0).any(axis=0))

    def check(self, width: int) -> None:
        """Refuse parameters that do not go with features of this width.

        Raises
        ------
        ValueError
            With the parameter's name.
        """
        raise NotImplementedError

    def rank(self, X: np.ndarray, aim: Aim, weight: np.ndarray) -> np.ndarray:
        """Return a ranking of columns, or of blocks of them, best first."""
        raise NotImplementedError

    def kept(self, ranking: np.ndarray, width: int) -> np.ndarray:
        """Return the columns to keep, ascending."""
        raise NotImplementedError


class SelectingHead(Selecting, LinearProbabilities, ClassifierHead):
    """A linear head on some of the columns; the coefficients of all others are zero.

    Attributes
    ----------
    classes_, coef_, intercept_
        As in `LinearHead`, for all columns.
    multilabel_
        Whether a sample may have several of the classes.
    """

    C: float
    standardize: bool
    whiten: float | None
    class_weight: Any

    _parameter_constraints: ClassVar[Limits] = {
        "C": PENALTY,
        "standardize": ["boolean"],
        "whiten": [None, ABOVE_ZERO],
        "class_weight": CLASS_WEIGHT,
    }
    saved_arrays = ("coef:rd", "intercept:r")

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Choose columns of features `[n, d]` by labels `[n]` (or an indicator, or sets), and fit a linear head on them."""
        X, targets = self._read(X, y)
        self.check(X.shape[1])
        weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        kept = self.kept(self.rank(X, Aim.of_targets(targets), weight), X.shape[1])
        head = self.linear().fit(X[:, kept], y, None if sample_weight is None else weight)
        self.widen(head.coef_, head.intercept_, kept)
        return self

    def linear(self) -> LinearHead:
        """Return the head to fit on the columns that are kept."""
        return LinearHead(C=self.C, standardize=self.standardize, whiten=self.whiten, class_weight=self.class_weight)


class SelectingRegressor(Selecting, LinearRegressor):
    """Ridge regression on some of the columns; the coefficients of all others are zero.

    Attributes
    ----------
    coef_, intercept_
        `[m, d]` and `[m]`; `m` is 1 for values `[n]`.
    """

    alphas: Any
    standardize: bool

    _parameter_constraints: ClassVar[Limits] = {"alphas": [ABOVE_ZERO, *LISTED], "standardize": ["boolean"]}

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Choose columns of features `[n, d]` by values `[n]` or `[n, m]`, and fit a ridge on them."""
        X, y, weight = self._read(X, y, sample_weight)
        self.check(X.shape[1])
        kept = self.kept(self.rank(X, Aim.of_numbers(y, weight), weight), X.shape[1])
        prepared = prepare(X[:, kept], weight, self.standardize, None)
        ridge = RidgeRegressor(self.alphas).fit(prepared.values, y, weight)
        self.widen(*prepared.restore(ridge.coef_, ridge.intercept_), kept)
        return self
