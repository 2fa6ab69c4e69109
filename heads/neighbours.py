"""The k-NN heads: the nearest training samples vote, or are averaged."""

from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from heads.limits import ABOVE_ZERO, CLASS_WEIGHT, FROM_ONE, Limits, check_parameters, one_of
from heads.scores import FLOATS, ClassifierHead
from heads.targets import class_weights, plain_labels

METRICS = ("cosine", "euclidean")
VOTES = ("uniform", "distance", "softmax")
UNDECIDED = 1e-3  # this share of the votes is spread evenly: what no neighbour has is unlikely, not impossible


def find_nearest(samples: np.ndarray, X: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances and numbers of the `k` samples nearest to each row, `[n, k]` both, or of all if there are fewer."""
    search = NearestNeighbors(n_neighbors=min(k, len(samples)), algorithm="brute").fit(samples)
    distance, rows = search.kneighbors(X)
    return distance, rows


class _Neighbours:
    """What both heads share: the training samples, and how much each of the nearest counts."""

    k: int
    metric: str
    weights: str
    temperature: float

    _parameter_constraints: ClassVar[Limits] = {
        "k": [FROM_ONE],
        "metric": [one_of(*METRICS)],
        "weights": [one_of(*VOTES)],
        "temperature": [ABOVE_ZERO],
        "class_weight": CLASS_WEIGHT,
    }

    def _remember(self, X: np.ndarray, sample_weight: Any) -> np.ndarray:
        """Keep the samples that weigh something; return which these are `[n]`."""
        kept = np.ones(len(X), bool)
        self.mass_: np.ndarray | None = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
            kept = weight > 0
            self.mass_ = None if (weight[kept] == 1).all() else weight[kept]
        self.samples_ = normalize(X[kept]) if self.metric == "cosine" else X[kept]
        return kept

    def compared(self, X: np.ndarray) -> np.ndarray:
        """Return features `[n, d]` as they are compared with the training samples."""
        X = X.astype(self.samples_.dtype, copy=False)
        return normalize(X) if self.metric == "cosine" else X

    def _nearest(self, X: Any) -> sparse.csr_array:
        """Return what each training sample counts `[n, m]`: nothing but for the nearest `k`."""
        check_is_fitted(self)
        X = self.compared(validate_data(self, X, dtype=FLOATS, reset=False))
        distance, rows = self._search(X)
        counts = self._counts(distance)
        if self.mass_ is not None:
            mass = self.mass_[rows]
            counts = counts * np.clip(self.k - (mass.cumsum(axis=1) - mass), 0, mass)
        starts = np.arange(0, rows.size + 1, rows.shape[1])
        return sparse.csr_array((counts.ravel(), rows.ravel(), starts), (len(rows), len(self.samples_)))

    def _search(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the distances and numbers of each row's nearest samples, `[n, m]` both, nearest first, that weigh `k`."""
        count = self.k if self.mass_ is None else max(self.k, int(self.k / self.mass_.mean()))
        while True:
            distance, rows = find_nearest(self.samples_, X, count)
            if self.mass_ is None or count >= len(self.samples_) or (self.mass_[rows].sum(axis=1) >= self.k).all():
                return distance, rows
            count *= 2

    def _counts(self, distance: np.ndarray) -> np.ndarray:
        if self.weights == "uniform":
            return np.ones_like(distance)
        if self.weights == "softmax":  # of minus half the squared distance, which is the cosine for unit vectors
            similar: np.ndarray = np.exp((distance[:, :1] ** 2 - distance**2) / (2 * self.temperature))
            return similar
        exact = distance == 0
        inverse = np.divide(1.0, distance, out=np.zeros_like(distance), where=~exact)
        return np.where(exact.any(axis=1, keepdims=True), exact, inverse)


class KNNHead(_Neighbours, ClassifierHead):
    """The `k` nearest training samples vote. A sample of weight `w` is as `w` equal ones, the last of which may count in part.

    Parameters
    ----------
    k
        How many.
    metric
        `cosine` or `euclidean`.
    weights
        `uniform`; `distance`, the inverse; or `softmax`, exp(cosine / temperature) (Wu et al. 2018, as DINO's k-NN).
    temperature
        Of `softmax`.
    class_weight
        None, `balanced`, or class -> weight of its votes.

    Attributes
    ----------
    classes_
        `[c]`, sorted.
    samples_, votes_
        The training samples `[m, d]` (at unit length for `cosine`) and the classes that each votes for `[m, c]`.
    mass_
        How many samples each stands for `[m]`; None where each is one.
    vote_weight_
        What a vote for each class weighs `[c]`.
    """

    saved_arrays = ("samples:md", "votes:mc", "vote_weight:c", "mass:m?")

    def __init__(
        self,
        k: int = 10,
        metric: str = "cosine",
        weights: str = "distance",
        temperature: float = 0.07,
        class_weight: Any = None,
    ) -> None:
        self.k = k
        self.metric = metric
        self.weights = weights
        self.temperature = temperature
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "KNNHead":
        """Keep features `[n, d]`, labels `[n]` (or an indicator `[n, c]`, or sets), and how often each sample counts `[n]`."""
        X, targets = self._read(X, y)
        kept = self._remember(X, sample_weight)
        weight = class_weights(self.class_weight, targets)
        if targets.multilabel:
            self.votes_, self.vote_weight_ = targets.values[kept].astype(X.dtype), weight
        else:
            self.votes_ = np.eye(len(targets.classes), dtype=X.dtype)[targets.values[kept]]
            self.vote_weight_ = weight[np.unique(targets.values, return_index=True)[1]]
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the share of the votes `[n, c]` for every class; where a sample may have several, each stands for itself."""
        counts = self._nearest(X)
        hits = counts @ self.votes_
        votes = hits * self.vote_weight_
        total = votes + counts.sum(axis=1)[:, None] - hits if self.multilabel_ else votes.sum(axis=1, keepdims=True)
        even = 0.5 if self.multilabel_ else 1 / len(self.classes_)
        shares: np.ndarray = np.divide(votes, total, out=np.full_like(votes, even), where=total > 0)
        return (1 - UNDECIDED) * shares + UNDECIDED * even

    def predict(self, X: Any) -> np.ndarray:
        """Return the class with most votes `[n]`, or an indicator `[n, c]` where a sample may have several."""
        shares = self.predict_proba(X)
        labels: np.ndarray = (shares > 0.5).astype(int) if self.multilabel_ else self.classes_[shares.argmax(axis=1)]
        return labels


class KNNRegressor(_Neighbours, RegressorMixin, BaseEstimator):
    """The mean of the `k` nearest training samples' values; parameters as in `KNNHead`."""

    saved_arrays = ("samples:md", "values:mo", "mass:m?")
    saved_values = ("single",)

    def __init__(self, k: int = 10, metric: str = "cosine", weights: str = "distance", temperature: float = 0.07) -> None:
        self.k = k
        self.metric = metric
        self.weights = weights
        self.temperature = temperature

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "KNNRegressor":
        """Keep features `[n, d]` and values `[n]` or `[n, m]`; a weight `[n]` is how often a sample counts."""
        check_parameters(self)
        y = None if y is None else plain_labels(y)
        X, y = validate_data(self, X, y, dtype=FLOATS, multi_output=True, y_numeric=True)
        kept = self._remember(X, sample_weight)
        self.single_ = y.ndim == 1
        self.values_ = y[kept].astype(np.float64).reshape(kept.sum(), -1)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the values `[n]` or `[n, m]`."""
        counts = self._nearest(X)
        means: np.ndarray = (counts @ self.values_) / counts.sum(axis=1)[:, None]
        return means[:, 0] if self.single_ else means

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
