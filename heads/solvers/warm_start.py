"""A start near the minimum for a single large fit, found by the sweeps' solver: on a GPU, or in fewer passes on the CPU."""

from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.utils import compute_class_weight
from sklearn.utils.validation import _check_sample_weight

from heads.devices import run_on, solving_device
from heads.solvers.logistic import solve_logistic
from heads.solvers.losses import BinaryLoss, SoftmaxLoss
from heads.solvers.rotation import rotate
from heads.solvers.stack import Problems

PASSES = 25
"""What a fit from nothing takes of passes over the features, or more."""
WORTH_A_START = 2.0**30
"""Multiplications of these passes from which on a start on the CPU may pay."""
ROTATION = 4
"""How many times these multiplications the features' rotation may take: its products are large, those of a fit are thin."""
LARGEST = 2**29
"""Bytes of features there; a start holds two copies of them more than a fit from nothing."""
GAP, MOST = 1e-7, 40
"""How near to the minimum, and the most iterations: what is left is a step or two of Newton's method."""


class Start(NamedTuple):
    """Weights `[c, d]` (`[1, d]` for two classes), intercepts, and the iterations of the last descent that led to them."""

    coef: np.ndarray
    intercept: np.ndarray
    iterations: int


def find_start(
    X: np.ndarray, labels: np.ndarray, C: float, class_weight: Any, weight: Any, device: str, max_iter: int = MOST
) -> Start | None:
    """Return where to start the fit of scikit-learn's objective; None where a fit from nothing is no slower.

    Parameters
    ----------
    X, labels
        `[n, d]` and `[n]`.
    C, class_weight, weight
        As `LogisticRegression` takes them.
    device
        `auto`, or a torch device.
    max_iter
        Most iterations.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    work = float(X.size) * len(classes) * PASSES
    chosen = solving_device(device, work)
    if len(classes) < 2 or max_iter < 1 or (chosen.type == "cpu" and not _helps(X, work)):
        return None
    weight = _check_sample_weight(weight, X, dtype=np.float64)
    by_class = compute_class_weight(class_weight, classes=classes, y=labels, sample_weight=weight)
    weighted = (weight * by_class[codes])[None]
    one = np.zeros(1, int)

    def solve(on: torch.device) -> Start | None:
        if on.type == "cpu" and not _helps(X, work):  # the GPU's memory was too small
            return None
        features, known = rotate(X, device=on), torch.as_tensor(codes, device=on)
        loss = SoftmaxLoss(known, len(classes)) if len(classes) > 2 else BinaryLoss(known[None].to(features.values.dtype))
        problem = Problems(np.array([float(C)]), weighted, one, one, one)
        solution = solve_logistic(features, loss, problem, gap=GAP, max_iter=min(max_iter, MOST))
        coef, intercept = features.to_weights(solution.rotated[0])
        if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
            return None
        return Start(coef.astype(X.dtype), intercept.astype(X.dtype), int(solution.iterations[0]))

    try:
        return run_on(chosen, solve)
    except torch.linalg.LinAlgError:  # features whose products are too large for their axes to be found
        return None


def _helps(X: np.ndarray, work: float) -> bool:
    """Whether a start is worth it on the CPU: the work is large, and the rotation and the copies of the features are not."""
    least = float(min(X.shape))
    rotation = 2 * X.size * least + 10 * least**3
    return work >= WORTH_A_START and rotation <= ROTATION * work and X.nbytes <= LARGEST
