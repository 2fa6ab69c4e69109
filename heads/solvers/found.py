"""A linear head that has been solved in its features' axes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import _check_feature_names, _check_n_features

from heads.linear import LinearHead
from heads.solvers.rotation import Rotation


@dataclass(frozen=True)
class Found:
    """A solution; the weights on features, which may be many, are made when they are asked for.

    Attributes
    ----------
    classes
        `[c]`.
    rotated
        `[r', r + 1]`: a row for every class or label, or one for two classes.
    rotation
        The way back.
    iterations
        Of the solver.
    multilabel
        Whether a sample may have several classes.
    """

    classes: np.ndarray
    rotated: torch.Tensor
    rotation: Rotation
    iterations: int
    multilabel: bool = False

    def fitted(self, head: LinearHead, X: Any) -> LinearHead:
        """Build the head that `fit` would leave behind."""
        head = clone(head)
        _check_feature_names(head, X, reset=True)
        _check_n_features(head, X, reset=True)
        head.coef_, head.intercept_ = (part.astype(np.float32) for part in self.rotation.to_weights(self.rotated))
        head.classes_, head.n_iter_ = self.classes, self.iterations
        head.multilabel_ = self.multilabel
        return head
