"""The linear head: multinomial logistic regression with an L2 penalty."""

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from heads.span import WORTHWHILE, RowSpan
from heads.standardize import mean_and_deviation
from heads.targets import plain_labels


class LinearHead(ClassifierMixin, BaseEstimator):
    """Logistic regression: scikit-learn's objective and scikit-learn's `C`.

    Minimises the sum of the samples' cross-entropies times `C`, plus half the squared norm of the weights (not of the
    intercepts), by Newton's method with conjugate gradients (scikit-learn's `newton-cg`): on features of this width it is
    several times faster than L-BFGS and far closer to the minimum. Where features far outnumber samples, the same minimum is
    found in the span of the rows (`heads.span`).

    Parameters
    ----------
    C
        Inverse of the penalty's strength; larger fits closer.
    standardize
        Fit to features of mean zero and deviation one over the training samples, so that the penalty meets all of them
        alike. The coefficients are those of the features as they come.
    class_weight
        None, `balanced`, or class -> weight.
    tol
        Largest component of the mean loss's gradient at which the fit stops; None for what the features' precision allows:
        1e-6 for float32, 1e-10 for float64.
    max_iter
        Most iterations.

    Attributes
    ----------
    classes_
        `[c]`, sorted.
    coef_
        `[c, d]`; `[1, d]` for two classes.
    intercept_
        `[c]`; `[1]` for two classes.
    n_iter_
        Iterations of the fit.
    """

    def __init__(
        self,
        C: float = 1.0,
        standardize: bool = False,
        class_weight: Any = None,
        tol: float | None = None,
        max_iter: int = 1000,
    ) -> None:
        self.C = C
        self.standardize = standardize
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "LinearHead":
        """Fit to features `[n, d]` and labels `[n]`, with weights `[n]` if given."""
        X, y = validate_data(self, X, None if y is None else plain_labels(y), dtype=(np.float64, np.float32))
        if self.standardize:
            weight = None if sample_weight is None else _check_sample_weight(sample_weight, X)
            mean, scale = mean_and_deviation(X, weight)
            X = (X - mean) / scale
        span = RowSpan(X) if X.shape[1] > WORTHWHILE * len(X) else None
        tol = self.tol if self.tol is not None else (1e-6 if X.dtype == np.float32 else 1e-10)
        solver = LogisticRegression(
            C=self.C, class_weight=self.class_weight, tol=tol, max_iter=self.max_iter, solver="newton-cg"
        )
        with warnings.catch_warnings():
            # a line search that fails means that the loss is as low as its arithmetic can tell
            warnings.filterwarnings("ignore", "(?i).*line search")
            solver.fit(X if span is None else span.coordinates, y, sample_weight)
        self.classes_ = solver.classes_
        self.coef_ = solver.coef_ if span is None else span.lift(solver.coef_)
        self.intercept_ = solver.intercept_
        if self.standardize:
            self.coef_ = self.coef_ / scale
            self.intercept_ = self.intercept_ - self.coef_ @ mean
        self.n_iter_ = int(solver.n_iter_.max())
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the scores of `[n, d]`: `[n, c]`, or `[n]` for two classes (positive means the second)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        scores: np.ndarray = X @ self.coef_.T + self.intercept_
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the classes' probabilities `[n, c]`."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
        return probabilities

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row `[n]`."""
        scores = self.decision_function(X)
        best = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        labels: np.ndarray = self.classes_[best]
        return labels
