"""Standardisation: every feature by its mean and deviation over the training samples."""

import numpy as np


def mean_and_deviation(X: np.ndarray, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean and deviation `[d]` of features `[n, d]`, in their type.

    Sums are float64. A deviation of zero, or of nothing but rounding, becomes one: a constant feature stays constant.
    """
    weights = None if weight is None else weight.astype(np.float64)
    mean = np.average(X, axis=0, weights=weights) if weights is not None else X.mean(axis=0, dtype=np.float64)
    centred = X - mean.astype(X.dtype)
    total = len(X) if weights is None else weights.sum()
    squares = np.einsum("ij,ij,i->j", centred, centred, np.ones(len(X)) if weights is None else weights, dtype=np.float64)
    deviation = np.sqrt(squares / total)
    flat = deviation <= 10 * np.finfo(X.dtype).eps * np.abs(mean)
    return mean.astype(X.dtype), np.where(flat, 1, deviation).astype(X.dtype)
