"""The zero-shot head: classes as directions in the features' space, such as texts that describe them."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.preprocessing import normalize
from sklearn.utils.validation import _check_sample_weight

from heads.limits import ABOVE_ZERO, LISTED, SHARE, Limits, check_parameters
from heads.scores import ClassifierHead, LinearProbabilities
from heads.targets import Targets


class ZeroShotHead(LinearProbabilities, ClassifierHead):
    """Cosine similarity to one embedding a class, sharpened by a temperature (CLIP; Radford et al. 2021).

    Nothing is trained where embeddings are given: labels only have to be among the classes. Without them, the mean directions
    of the classes' training samples take their place, and `mix` goes from the one to the other.

    Parameters
    ----------
    embeddings
        `[c, d]`, one row a class: for features of an image tower, what its text tower says about the classes.
    classes
        Labels `[c]` of the rows; None for the sorted labels of the training data, or 0, 1, ... where `fit` gets no labels.
    temperature
        What similarities are divided by; 0.01 is CLIP's.
    mix
        Share of the training samples' mean directions in the class embeddings: 0 for zero-shot, more with few labels.

    Attributes
    ----------
    classes_, coef_, intercept_
        As in `LinearHead`.
    """

    saved_arrays = ("coef:rd", "intercept:r")

    _parameter_constraints: ClassVar[Limits] = {"classes": LISTED, "temperature": [ABOVE_ZERO], "mix": [SHARE]}

    def __init__(
        self, embeddings: Any = None, classes: Sequence[Any] | None = None, temperature: float = 0.01, mix: float = 0.0
    ) -> None:
        self.embeddings = embeddings
        self.classes = classes
        self.temperature = temperature
        self.mix = mix

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "ZeroShotHead":
        """Take note of the classes; features `[n, d]`, labels `[n]` and weights `[n]` matter only for mean directions.

        Raises
        ------
        ValueError
            If embeddings, classes, labels and features do not fit together.
        """
        check_parameters(self)
        if y is None and self.embeddings is not None:
            names = np.arange(len(self.embeddings)) if self.classes is None else np.asarray(self.classes)
            if self.mix > 0:
                raise ValueError("`mix` needs labels: mean directions come from labelled samples")
            return self._set(names, np.asarray(self.embeddings))
        X, targets = self._read(X, y)
        if targets.multilabel:
            raise ValueError("ZeroShotHead takes one label a sample")
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if self.embeddings is None:
            return self._set(targets.classes, _mean_directions(X, targets, weight))
        names = targets.classes if self.classes is None else np.asarray(self.classes)
        embeddings = normalize(np.asarray(self.embeddings, X.dtype))
        if len(embeddings) != len(names):
            raise ValueError(f"there are {len(embeddings)} embeddings for {len(names)} classes; name their `classes`")
        if embeddings.shape[1] != X.shape[1]:
            raise ValueError(
                f"the embeddings are {embeddings.shape[1]} wide and the features {X.shape[1]}; use the same model's"
            )
        place = {name: row for row, name in enumerate(names.tolist())}
        strange = [name for name in targets.classes.tolist() if name not in place]
        if strange:
            raise ValueError(
                f"{strange[0]!r} is a label that has no embedding; `classes` are {', '.join(map(str, names[:10]))}"
            )
        if self.mix > 0:
            rows = np.array([place[name] for name in targets.classes.tolist()])
            means = _mean_directions(X, targets, weight)
            embeddings[rows] = (1 - self.mix) * embeddings[rows] + self.mix * means
        return self._set(names, embeddings)

    def _set(self, names: np.ndarray, embeddings: np.ndarray) -> "ZeroShotHead":
        order = np.argsort(names)
        self.classes_, self.multilabel_ = names[order], False
        self.n_features_in_ = embeddings.shape[1]
        self.coef_ = normalize(embeddings)[order] / self.temperature
        self.intercept_ = np.zeros(len(names), self.coef_.dtype)
        if len(names) == 2:
            self.coef_, self.intercept_ = self.coef_[1:] - self.coef_[:1], self.intercept_[1:]
        return self

    def _prepared(self, X: np.ndarray) -> np.ndarray:
        unit: np.ndarray = normalize(X)
        return unit

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = False
        return tags


def _mean_directions(X: np.ndarray, targets: Targets, weight: np.ndarray) -> np.ndarray:
    """Return the classes' mean directions `[c, d]`."""
    share = np.bincount(targets.values, weight, len(targets.classes))
    if (share == 0).any():
        raise ValueError(
            f"class {targets.classes.tolist()[share.argmin()]!r} has no weight: at least 1 sample of it must have some"
        )
    membership = np.zeros((len(share), len(X)))
    membership[targets.values, np.arange(len(X))] = weight
    means: np.ndarray = normalize(membership @ normalize(X)).astype(X.dtype)
    return means
