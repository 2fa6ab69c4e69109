"""The LDA head: linear discriminant analysis with a shrunk covariance."""

from collections.abc import Sequence
from typing import Any

from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from heads.scores import ClassifierHead, LinearProbabilities


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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = False
        return tags
