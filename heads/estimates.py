"""Estimates: a metric's value with the interval that its bootstrap gives."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A metric's value and the ends of its interval."""

    value: float
    low: float
    high: float


def estimate(value: float, drawn: np.ndarray, confidence: float) -> Estimate:
    """Return a value with the percentile interval of its resampled values."""
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(float(value), float(low), float(high))
