"""Predictions from scores: what heads share whose scores or values are linear in the features, and scores as probabilities."""

from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from heads.limits import check_parameters
from heads.targets import Targets, as_column, encode_known, encode_targets, plain_labels

FLOATS = (np.float64, np.float32)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return the rows' softmax `[n, c]` of scores `[n, c]`."""
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return probabilities


def sigmoid(scores: np.ndarray) -> np.ndarray:
    """Return `1 / (1 + exp(-score))`, without overflow."""
    half: np.ndarray = 0.5 * (1 + np.tanh(0.5 * scores))
    return half


class ClassifierHead(ClassifierMixin, BaseEstimator):
    """A classifier of one label a sample, or of several: then `predict` gives an indicator `[n, c]` of `classes_`."""

    classes_: np.ndarray
    multilabel_: bool = False
    saved_values: ClassVar[tuple[str, ...]] = ()

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy; with several labels a sample, the share of samples whose labels are all right."""
        true = encode_known(y, self.classes_, multilabel=True) if self.multilabel_ else plain_labels(y)
        return float(super().score(X, true, sample_weight))

    def _read(self, X: Any, y: Any) -> tuple[np.ndarray, Targets]:
        """Check parameters, features `[n, d]` and labels as `fit` begins, and note the classes."""
        check_parameters(self)
        X, _ = validate_data(self, X, None if y is None else as_column(y), dtype=FLOATS, multi_output=True)
        targets = encode_targets(y)
        self.classes_, self.multilabel_ = targets.classes, targets.multilabel
        return X, targets

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class LinearScores:
    """Scores `X @ coef_.T + intercept_`, and the labels that they speak for.

    Attributes
    ----------
    coef_, intercept_
        `[c, d]` and `[c]`; one row for two classes.
    classes_
        `[c]`, sorted.
    multilabel_
        Whether a sample may have several of the classes.
    """

    coef_: np.ndarray
    intercept_: np.ndarray
    classes_: np.ndarray
    multilabel_: bool = False

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the scores of `[n, d]`: `[n, c]`, or `[n]` for two classes (positive means the second)."""
        check_is_fitted(self)
        X = self._prepared(validate_data(self, X, dtype=FLOATS, reset=False))
        scores: np.ndarray = X @ self.coef_.T.astype(X.dtype) + self.intercept_.astype(X.dtype)
        return scores[:, 0] if len(self.classes_) == 2 and not self.multilabel_ else scores

    def predict(self, X: Any) -> np.ndarray:
        """Return the best class of each row `[n]`, or an indicator `[n, c]` where a sample may have several."""
        scores = self.decision_function(X)
        if self.multilabel_:
            return (scores > 0).astype(int)
        best = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        labels: np.ndarray = self.classes_[best]
        return labels

    def _prepared(self, X: np.ndarray) -> np.ndarray:
        """What is done to features before the product; nothing, unless a head says otherwise."""
        return X


class LinearProbabilities(LinearScores):
    """Linear scores that are log-odds."""

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the classes' probabilities `[n, c]`; where a sample may have several, each stands for itself."""
        scores = self.decision_function(X)
        if self.multilabel_:
            return sigmoid(scores)
        if scores.ndim == 1:
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
        return softmax(scores)


class LinearRegressor(RegressorMixin, BaseEstimator):
    """Values `X @ coef_.T + intercept_`.

    Attributes
    ----------
    coef_, intercept_
        `[m, d]` and `[m]`; `m` is 1 for values `[n]`.
    single_
        Whether values are `[n]`.
    """

    coef_: np.ndarray
    intercept_: np.ndarray
    single_: bool

    saved_arrays: ClassVar[tuple[str, ...]] = ("coef:od", "intercept:o")
    saved_values: ClassVar[tuple[str, ...]] = ("single",)

    def predict(self, X: Any) -> np.ndarray:
        """Return the values `[n]` or `[n, m]`."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        values: np.ndarray = X @ self.coef_.T + self.intercept_
        return values[:, 0] if self.single_ else values

    def _read(self, X: Any, y: Any, sample_weight: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Check parameters and what was given to `fit`; return features `[n, d]`, values `[n, m]` and weights `[n]`."""
        check_parameters(self)
        y = None if y is None else plain_labels(y)
        X, y = validate_data(self, X, y, dtype=FLOATS, multi_output=True, y_numeric=True, ensure_min_samples=2)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        y = np.asarray(y, np.float64)
        self.single_ = y.ndim == 1
        return X, y.reshape(len(y), -1), weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
