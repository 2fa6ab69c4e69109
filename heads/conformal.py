"""Conformal prediction: sets of classes, or intervals, that hold the truth as often as promised, whatever the head is.

Split conformal prediction (Papadopoulos et al. 2002; Vovk et al. 2005). For samples exchangeable with the calibration
samples, and a head that has not seen those, a set holds the truth with at least the asked probability, on average over
samples. Where calibration uses cross-validated predictions and a head refitted on all of them, as a run does, that is so
in practice and not by theorem (Vovk 2015).
"""

import math
from dataclasses import dataclass

import numpy as np

from heads.targets import check_codes

ROUNDING = 1e-9


@dataclass(frozen=True)
class ConformalSets:
    """A rule that turns probabilities into sets of classes.

    Attributes
    ----------
    coverage
        How often a set is to hold the true class.
    method
        `lac`: all classes whose probability is high enough (Sadinle et al. 2019), the smallest sets on average.
        `aps`: the most probable classes until their sum is high enough (Romano et al. 2020), fairer to hard samples.
    quantile
        Bound on the score of a class: 1 - p for `lac`, the sum of probabilities above its own and a share of it for `aps`.
    """

    coverage: float
    method: str
    quantile: float

    def sets(self, probabilities: np.ndarray) -> np.ndarray:
        """Return which classes are in each sample's set: `[n, c]` of bool. The most probable class always is."""
        inside = class_scores(probabilities, self.method) <= self.quantile
        inside[np.arange(len(inside)), probabilities.argmax(axis=1)] = True
        return inside


@dataclass(frozen=True)
class ConformalIntervals:
    """A rule that puts an interval of one width around predictions of numbers."""

    coverage: float
    radius: float

    def intervals(self, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends `[n]` of each prediction's interval."""
        return predicted - self.radius, predicted + self.radius


def conformal_sets(probabilities: np.ndarray, true: np.ndarray, coverage: float = 0.9, method: str = "lac") -> ConformalSets:
    """Calibrate prediction sets on held-out samples.

    Parameters
    ----------
    probabilities
        `[n, c]` of samples that the head was not fitted to.
    true
        Class codes `[n]`.
    coverage
        How often a set is to hold the true class, between 0 and 1.
    method
        `lac` or `aps`.

    Raises
    ------
    ValueError
        If there is no such method, too few samples to promise that coverage, or `true` are labels and not their codes.
    """
    probabilities = np.asarray(probabilities)
    codes = check_codes(true, probabilities)
    scores = class_scores(probabilities, method)[np.arange(len(codes)), codes]
    return ConformalSets(coverage, method, _quantile(scores, coverage))


def conformal_intervals(predicted: np.ndarray, true: np.ndarray, coverage: float = 0.9) -> ConformalIntervals:
    """Calibrate intervals on the absolute errors of held-out predictions `[n]`.

    Raises
    ------
    ValueError
        If there are too few samples to promise that coverage.
    """
    return ConformalIntervals(coverage, _quantile(np.abs(predicted - true), coverage))


def class_scores(probabilities: np.ndarray, method: str) -> np.ndarray:
    """Return how strange each class would be as the true one `[n, c]`."""
    if method == "lac":
        return 1 - probabilities
    if method == "aps":
        order = np.argsort(-probabilities, axis=1, kind="stable")
        ranked = np.take_along_axis(probabilities, order, axis=1)
        scores = np.empty_like(ranked)
        np.put_along_axis(scores, order, ranked.cumsum(axis=1), axis=1)
        return scores
    raise ValueError(f"{method!r} is no method for prediction sets; methods are lac and aps")


def _quantile(scores: np.ndarray, coverage: float) -> float:
    """Return the score that `coverage` of the calibration samples and one more stay below."""
    rank = conformal_rank(len(scores), coverage)
    return float(np.partition(scores, rank - 1)[rank - 1])


def conformal_rank(samples: int, coverage: float) -> int:
    """Return which of the calibration samples' scores, from the lowest, is the one that `coverage` stay below.

    Raises
    ------
    ValueError
        If there are too few samples for any, or coverage is no share.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"`coverage` is {coverage}; it lies between 0 and 1, such as 0.9")
    rank = math.ceil((samples + 1) * coverage - ROUNDING)
    if rank > samples:
        needed = math.ceil(coverage / (1 - coverage) - ROUNDING)
        raise ValueError(f"{samples} samples cannot promise a coverage of {coverage}; it takes {needed}")
    return rank
