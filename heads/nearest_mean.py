"""The nearest-mean head: each class is its mean, and a sample belongs to the nearest."""

from typing import Any, ClassVar

import numpy as np
from sklearn.preprocessing import normalize
from sklearn.utils.validation import _check_sample_weight

from heads.limits import Limits, one_of
from heads.scores import ClassifierHead, LinearProbabilities


class NearestMeanHead(LinearProbabilities, ClassifierHead):
    """Classes as their means (prototypes; Snell et al. 2017), compared by distance or by direction.

    The probabilities are those of spherical Gaussians around the means, of one variance estimated from the training data and
    with equal shares. Nothing has to be chosen, so that it is a floor that any other head should reach.

    Parameters
    ----------
    metric
        `euclidean`, or `cosine`: features are brought to unit length first, in fitting and in predicting.

    Attributes
    ----------
    means_
        `[c, d]`.
    classes_, coef_, intercept_
        As in `LinearHead`.
    """

    saved_arrays = ("coef:rd", "intercept:r", "means:cd")

    _parameter_constraints: ClassVar[Limits] = {"metric": [one_of("euclidean", "cosine")]}

    def __init__(self, metric: str = "euclidean") -> None:
        self.metric = metric

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "NearestMeanHead":
        """Fit to features `[n, d]` and labels `[n]`, with weights `[n]` if given."""
        if self.metric not in ("euclidean", "cosine"):
            raise ValueError(f"`metric` is {self.metric!r}; it may be `euclidean` or `cosine`")
        X, targets = self._read(X, y)
        if targets.multilabel:
            raise ValueError("NearestMeanHead takes one label a sample; use a linear, ridge or k-NN head for several")
        X = self._prepared(X)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        membership = np.zeros((len(targets.classes), len(X)))
        membership[targets.values, np.arange(len(X))] = weight
        share = membership.sum(axis=1, keepdims=True)
        if (share == 0).any():
            missing = targets.classes.tolist()[share[:, 0].argmin()]
            raise ValueError(f"class {missing!r} has no weight: at least 1 sample of it must have some")
        means = membership @ X / share
        spread = (weight[:, None] * (X - means[targets.values]) ** 2).sum() / (weight.sum() * X.shape[1])
        variance = max(float(spread), float(np.finfo(X.dtype).eps))
        self.means_ = means.astype(X.dtype)
        self.coef_ = (means / variance).astype(X.dtype)
        self.intercept_ = (-0.5 * (means**2).sum(axis=1) / variance).astype(X.dtype)
        if len(targets.classes) == 2:
            self.coef_, self.intercept_ = self.coef_[1:] - self.coef_[:1], self.intercept_[1:] - self.intercept_[:1]
        return self

    def _prepared(self, X: np.ndarray) -> np.ndarray:
        unit: np.ndarray = normalize(X) if self.metric == "cosine" else X
        return unit

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = False
        return tags
