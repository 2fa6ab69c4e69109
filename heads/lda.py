"""The LDA head: linear discriminant analysis with a shrunk covariance."""

import copy
from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from scipy.linalg import lstsq
from sklearn.utils.validation import _check_sample_weight

from heads.gaussians import Gaussians, estimate_gaussians
from heads.limits import LISTED, SHARE, Limits, one_of
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

    _parameter_constraints: ClassVar[Limits] = {"shrinkage": [one_of("auto"), SHARE, None], "priors": LISTED}

    def __init__(self, shrinkage: float | str = "auto", priors: Sequence[float] | None = None) -> None:
        self.shrinkage = shrinkage
        self.priors = priors

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "LDAHead":
        """Fit to features `[n, d]` and labels `[n]`, with weights `[n]` if given: a sample of weight 2 is two samples."""
        found = self._estimate(X, y, sample_weight, self.shrinkage)
        coef = lstsq(found.covariance, found.means.T)[0].T
        return self._set(coef, found)

    def fit_each(self, shrinkages: Sequence[float], X: Any, y: Any, sample_weight: Any = None) -> list["LDAHead"]:
        """Return a fitted head for each of several numbers for `shrinkage`, from one eigendecomposition.

        Shrinking moves the covariance's eigenvalues and keeps its eigenvectors. Where an eigenvalue is so small that what it
        is divided by is rounding, the head is fitted alone.
        """
        plain = self._estimate(X, y, sample_weight, 0.0)
        powers, directions = np.linalg.eigh(plain.covariance)
        along = plain.means @ directions
        found = []
        for shrinkage in shrinkages:
            head = copy.copy(self)
            head.shrinkage = shrinkage
            shrunk = (1 - shrinkage) * powers + shrinkage * powers.mean()
            if shrunk.min() <= SMALLEST_POWER * shrunk.max():
                found.append(head.fit(X, y, sample_weight))
            else:
                found.append(head._set((along / shrunk) @ directions.T, plain))
        return found

    def _estimate(self, X: Any, y: Any, sample_weight: Any, shrinkage: Any) -> Gaussians:
        """Read what `fit` is given, and estimate the classes from it."""
        if shrinkage not in ("auto", None) and not (isinstance(shrinkage, Real) and 0 <= float(shrinkage) <= 1):
            raise ValueError(f"`shrinkage` is {shrinkage!r}; it may be `auto`, or from 0 to 1")
        X, targets = self._read(X, y)
        if targets.multilabel:
            raise ValueError("LDAHead takes one label a sample; use a linear, ridge or k-NN head for several")
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        share = np.bincount(targets.values, weight, len(targets.classes))
        if (share == 0).any():
            raise ValueError(
                f"class {targets.classes.tolist()[share.argmin()]!r} has no weight: at least 1 sample of it must have some"
            )
        priors = share if self.priors is None else np.asarray(self.priors, dtype=float)
        if priors.shape != share.shape or (priors < 0).any() or priors.sum() <= 0:
            raise ValueError(f"`priors` are {self.priors!r}; a share from 0 for each of {len(share)} classes is expected")
        return estimate_gaussians(X, targets.values, weight, priors / priors.sum(), 0.0 if shrinkage is None else shrinkage)

    def _set(self, coef: np.ndarray, gaussians: Gaussians) -> "LDAHead":
        with np.errstate(divide="ignore"):  # a class that has no share is never predicted
            intercept = -0.5 * (gaussians.means * coef).sum(axis=1) + np.log(gaussians.priors)
        if len(coef) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        self.coef_, self.intercept_ = coef.astype(gaussians.dtype), intercept.astype(gaussians.dtype)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = False
        return tags
