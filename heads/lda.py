"""The LDA head: linear discriminant analysis with a shrunk covariance."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from heads.scores import ClassifierHead, LinearProbabilities

SMALLEST_POWER = 1e-9
"""The smallest eigenvalue of a covariance, relative to its largest, that is divided by."""


class LDAHead(LinearProbabilities, ClassifierHead):
    """Classes as Gaussians of one common covariance, shrunk towards a multiple of the identity.

    Parameters
    ----------
    shrinkage
        `auto` chooses it in closed form (Ledoit and Wolf 2004); 0 is the plain covariance and 1 its mean variance alone.
    priors
        Shares `[c]` of the classes; None for those of the training data.

    Attributes
    ----------
    classes_, coef_, intercept_
        As in `LinearHead`.
    """

    saved_arrays = ("coef:rd", "intercept:r")

    def __init__(self, shrinkage: float | str = "auto", priors: Sequence[float] | None = None) -> None:
        self.shrinkage = shrinkage
        self.priors = priors

    def fit(self, X: Any, y: Any) -> "LDAHead":
        """Fit to features `[n, d]` and labels `[n]`."""
        X, targets = self._read(X, y)
        if targets.multilabel:
            raise ValueError("LDAHead takes one label a sample; use a linear, ridge or k-NN head for several")
        solver = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=self.shrinkage, priors=self.priors)
        solver.fit(X, targets.values)
        self.coef_, self.intercept_ = solver.coef_.astype(X.dtype), solver.intercept_.astype(X.dtype)
        return self

    def fit_each(self, shrinkages: Sequence[float], X: Any, y: Any) -> list["LDAHead"]:
        """Return a fitted head for each of several numbers for `shrinkage`, from one eigendecomposition.

        Shrinking moves the covariance's eigenvalues and keeps its eigenvectors. Where an eigenvalue is so small that what it
        is divided by is rounding, the head is fitted alone.
        """
        read, targets = self._read(X, y)
        plain = LinearDiscriminantAnalysis(solver="lsqr", priors=self.priors).fit(read, targets.values)
        powers, directions = np.linalg.eigh(plain.covariance_)
        means, log_priors = plain.means_, np.log(plain.priors_)
        along = means @ directions
        found = []
        for shrinkage in shrinkages:
            head = copy.copy(self)
            head.shrinkage = shrinkage
            shrunk = (1 - shrinkage) * powers + shrinkage * powers.mean()
            if shrunk.min() <= SMALLEST_POWER * shrunk.max():
                found.append(head.fit(X, y))
                continue
            coef = (along / shrunk) @ directions.T
            intercept = -0.5 * (means * coef).sum(axis=1) + log_priors
            if len(coef) == 2:
                coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
            head.coef_, head.intercept_ = coef.astype(read.dtype), intercept.astype(read.dtype)
            found.append(head)
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = False
        return tags
