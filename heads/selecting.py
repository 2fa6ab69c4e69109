"""What heads share that choose among features before a linear head is fitted on those chosen."""

from typing import Any

import numpy as np
from sklearn.utils.validation import _check_sample_weight

from heads.linear import LinearHead
from heads.scores import ClassifierHead, LinearProbabilities
from heads.targets import Targets


class SelectingHead(LinearProbabilities, ClassifierHead):
    """A linear head on some of the columns; the coefficients of all others are zero.

    A child says how columns are ranked and how many of a ranking are kept. Both see the samples given to `fit` alone, so
    that in cross-validation nothing of the part left out is known.

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

    saved_arrays = ("coef:rd", "intercept:r")
    ranked_by: tuple[str, ...] = ()
    """The parameters that a ranking depends on: trials that share these share it."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Choose columns of features `[n, d]` by labels `[n]` (or an indicator, or sets), and fit a linear head on them."""
        X, targets = self._read(X, y)
        self.check(X.shape[1])
        weight = _check_sample_weight(sample_weight, X)
        kept = self.kept(self.rank(X, targets, weight), X.shape[1])
        head = self.linear().fit(X[:, kept], y, None if sample_weight is None else weight)
        self.widen(head.coef_, head.intercept_, kept)
        return self

    def linear(self) -> LinearHead:
        """Return the head to fit on the columns that are kept."""
        return LinearHead(C=self.C, standardize=self.standardize, whiten=self.whiten, class_weight=self.class_weight)

    def widen(self, coef: np.ndarray, intercept: np.ndarray, kept: np.ndarray) -> None:
        """Take over a fitted head's coefficients of the columns `kept [k]`, with zeros for all others."""
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

    def rank(self, X: np.ndarray, targets: Targets, weight: np.ndarray) -> np.ndarray:
        """Return a ranking of columns, or of blocks of them, best first."""
        raise NotImplementedError

    def kept(self, ranking: np.ndarray, width: int) -> np.ndarray:
        """Return the columns to keep, ascending."""
        raise NotImplementedError
