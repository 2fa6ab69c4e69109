"""The linear head: multinomial logistic regression with an L2 penalty, and the linear module of the field."""

import warnings
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import _check_sample_weight
from torch import nn

from heads.limits import ABOVE_ZERO, CLASS_WEIGHT, DEVICE, FROM_ONE, FROM_ZERO, PENALTY, Limits
from heads.preparation import prepare
from heads.scores import ClassifierHead, LinearProbabilities
from heads.solvers.warm_start import find_start
from heads.targets import Targets

LEAST_ITERATIONS = 20
"""Of Newton's method: with as many hardly a fit is unfinished."""


class LinearClassifier(nn.Module):
    """One linear layer.

    Parameters
    ----------
    input_dim
        Width of the features.
    num_classes
        Width of the logits.
    """

    def __init__(self, input_dim: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_dim, num_classes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits `[b, c]` of features `[b, d]`."""
        logits: torch.Tensor = self.linear(features)
        return logits


class LinearHead(LinearProbabilities, ClassifierHead):
    """Logistic regression: scikit-learn's objective and scikit-learn's `C`.

    Minimises the sum of the samples' cross-entropies times `C`, plus half the squared norm of the weights (not of the
    intercepts), by Newton's method with conjugate gradients (scikit-learn's `newton-cg`): on features of this width it is
    several times faster than L-BFGS and far closer to the minimum. A large fit starts from where the sweeps' solver comes
    to. Where features far outnumber samples, the same minimum is found in the samples' span. Where a sample may have several
    labels, every label is a problem of its own.

    Parameters
    ----------
    C
        Inverse of the penalty's strength; larger fits closer.
    standardize
        Whether the penalty meets features of mean zero and deviation one over the training samples. The coefficients are
        those of the features as they come.
    whiten
        None, or the share of the features' mean variance at which directions in which they vary together are held down to
        the others (see `heads.preparation.whitened`); smaller is whiter.
    class_weight
        None, `balanced`, or class -> weight (of a label's positives where a sample may have several).
    tol
        Largest component of the mean loss's gradient at which the fit stops; None for what the features' precision allows:
        1e-6 for float32, 1e-10 for float64.
    max_iter
        Most iterations.
    device
        Where the way to the minimum is computed: `auto` (CUDA if there is one and the features are many, else the CPU), or a
        torch device. The last steps are taken on the CPU in any case, so that the minimum is the same.

    Attributes
    ----------
    classes_
        `[c]`, sorted.
    coef_
        `[c, d]`; `[1, d]` for two classes.
    intercept_
        `[c]`; `[1]` for two classes.
    multilabel_
        Whether a sample may have several of the classes.
    n_iter_
        Iterations of the fit.
    """

    _parameter_constraints: ClassVar[Limits] = {
        "C": PENALTY,
        "standardize": ["boolean"],
        "whiten": [None, ABOVE_ZERO],
        "class_weight": CLASS_WEIGHT,
        "tol": [None, FROM_ZERO],
        "max_iter": [FROM_ONE],
        "device": DEVICE,
    }
    saved_arrays = ("coef:rd", "intercept:r")

    def __init__(
        self,
        C: float = 1.0,
        standardize: bool = False,
        whiten: float | None = None,
        class_weight: Any = None,
        tol: float | None = None,
        max_iter: int = 1000,
        device: str = "auto",
    ) -> None:
        self.C = C
        self.standardize = standardize
        self.whiten = whiten
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter
        self.device = device

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "LinearHead":
        """Fit to features `[n, d]` and labels `[n]` (or an indicator `[n, c]`, or sets), with weights `[n]` if given."""
        X, targets = self._read(X, y)
        weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        prepared = prepare(X, weight, self.standardize, self.whiten)
        X = prepared.values
        if targets.multilabel:
            fits = [self._fit_label(X, targets, column, weight) for column in range(len(targets.classes))]
            coef, intercept = np.stack([coef for coef, _, _ in fits]), np.array([intercept for _, intercept, _ in fits])
            self.coef_, self.intercept_ = prepared.restore(coef, intercept)
            self.n_iter_ = max(iterations for _, _, iterations in fits)
            return self
        solver = self._solve(X, targets.classes[targets.values], self.class_weight, sample_weight)
        self.coef_, self.intercept_ = prepared.restore(solver.coef_, solver.intercept_)
        self.n_iter_ = int(solver.n_iter_.max())
        return self

    def _fit_label(self, X: np.ndarray, targets: Targets, column: int, weight: np.ndarray) -> tuple[np.ndarray, float, int]:
        has, name = targets.values[:, column], targets.classes.tolist()[column]
        if has.all() or not has.any():  # nothing to tell apart: the log-odds of the share, with half a sample on either side
            odds = np.log((weight[has].sum() + 0.5) / (weight[~has].sum() + 0.5))
            return np.zeros(X.shape[1], X.dtype), float(odds), 0
        own = {False: 1.0, True: self.class_weight.get(name, 1.0)} if isinstance(self.class_weight, dict) else self.class_weight
        solver = self._solve(X, has, own, weight)
        return solver.coef_[0], float(solver.intercept_[0]), int(solver.n_iter_.max())

    def _solve(self, X: np.ndarray, labels: np.ndarray, class_weight: Any, weight: Any) -> LogisticRegression:
        tol = self.tol if self.tol is not None else (1e-6 if X.dtype == np.float32 else 1e-10)
        solver = LogisticRegression(C=self.C, class_weight=class_weight, tol=tol, max_iter=self.max_iter, solver="newton-cg")
        room = self.max_iter - LEAST_ITERATIONS  # who asks for fewer wants a fit that is not finished
        start = find_start(X, labels, self.C, class_weight, weight, self.device, room) if room > 0 else None
        if start is not None:
            solver.set_params(warm_start=True, max_iter=self.max_iter - start.iterations)
            solver.coef_, solver.intercept_ = start.coef, start.intercept
        with warnings.catch_warnings():
            # a line search that fails means that the loss is as low as its arithmetic can tell
            warnings.filterwarnings("ignore", "(?i).*line search")
            solver.fit(X, labels, weight)
        if start is not None:
            solver.n_iter_ = np.maximum(solver.n_iter_ + start.iterations, 1)
        return solver
