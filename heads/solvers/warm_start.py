"""A start near the minimum for a single fit, found on a GPU."""

from typing import Any

import numpy as np
import torch
from sklearn.utils import compute_class_weight
from sklearn.utils.validation import _check_sample_weight

from heads.devices import run_on, solving_device
from heads.solvers.logistic import FINEST_GAP, solve_logistic
from heads.solvers.losses import BinaryLoss, SoftmaxLoss
from heads.solvers.rotation import rotate
from heads.solvers.stack import Problems

PASSES = 25
"""What a fit from nothing takes of passes over the features, or more."""


def find_start(
    X: np.ndarray, labels: np.ndarray, C: float, class_weight: Any, weight: Any, device: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return weights `[c, d]` (`[1, d]` for two classes) and intercepts next to the minimum of scikit-learn's objective.

    None where that would be no quicker than a fit on the CPU from nothing.

    Parameters
    ----------
    X, labels
        `[n, d]` and `[n]`.
    C, class_weight, weight
        As `LogisticRegression` takes them.
    device
        `auto`, or a torch device.
    """
    if solving_device(device, np.inf).type == "cpu":  # before the labels are looked at
        return None
    classes, codes = np.unique(labels, return_inverse=True)
    chosen = solving_device(device, float(X.size) * len(classes) * PASSES)
    if chosen.type == "cpu" or len(classes) < 2:
        return None
    weight = _check_sample_weight(weight, X, dtype=np.float64)
    by_class = compute_class_weight(class_weight, classes=classes, y=labels, sample_weight=weight)
    weighted = (weight * by_class[codes])[None]
    one = np.zeros(1, int)

    def solve(on: torch.device) -> tuple[np.ndarray, np.ndarray] | None:
        if on.type == "cpu":  # the GPU's memory was too small
            return None
        features, known = rotate(X, device=on), torch.as_tensor(codes, device=on)
        loss = SoftmaxLoss(known, len(classes)) if len(classes) > 2 else BinaryLoss(known[None].to(features.values.dtype))
        solution = solve_logistic(features, loss, Problems(np.array([float(C)]), weighted, one, one, one), gap=FINEST_GAP)
        coef, intercept = features.to_weights(solution.rotated[0])
        return coef.astype(X.dtype), intercept.astype(X.dtype)

    return run_on(chosen, solve)
