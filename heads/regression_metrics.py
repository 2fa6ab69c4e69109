"""Metrics of predicted numbers, with bootstrap intervals."""

import numpy as np
from scipy.stats import rankdata

from heads.estimates import Estimate, estimate


def regression_metrics(
    true: np.ndarray, predicted: np.ndarray, resamples: int = 500, confidence: float = 0.95, seed: int = 0
) -> dict[str, Estimate]:
    """Compute R2, explained variance, mean, median and root mean squared errors, and both correlations, with intervals.

    Parameters
    ----------
    true, predicted
        `[n]`, or `[n, m]` for several numbers a sample, whose metrics are averaged.
    resamples, confidence, seed
        Of the bootstrap.

    Notes
    -----
    Where all true values are the same, R2 is 0; where either side is constant, so is a correlation.
    """
    rng = np.random.default_rng(seed)
    drawn = [
        _metrics(true[rows], predicted[rows]) for rows in (rng.integers(len(true), size=len(true)) for _ in range(resamples))
    ]
    return {
        name: estimate(value, np.array([one[name] for one in drawn]), confidence)
        for name, value in _metrics(true, predicted).items()
    }


def _metrics(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    if true.ndim == 2:
        columns = [_metrics(*column) for column in zip(true.T, predicted.T, strict=True)]
        return {name: float(np.mean([column[name] for column in columns])) for name in columns[0]}
    errors = predicted - true
    spread = float(((true - true.mean()) ** 2).sum())
    return {
        "r2": 1 - float((errors**2).sum()) / spread if spread > 0 else 0.0,
        "mean_absolute_error": float(np.abs(errors).mean()),
        "root_mean_squared_error": float(np.sqrt((errors**2).mean())),
        "pearson": _correlation(true, predicted),
        "explained_variance": 1 - float(((errors - errors.mean()) ** 2).sum()) / spread if spread > 0 else 0.0,
        "median_absolute_error": float(np.median(np.abs(errors))),
        "spearman": _correlation(rankdata(true), rankdata(predicted)),
    }


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first - first.mean(), second - second.mean()
    norm = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float(first @ second) / norm if norm > 0 else 0.0
