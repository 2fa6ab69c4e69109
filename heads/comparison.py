"""Paired tests: whether one head is better than another, or was lucky."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, norm, t
from sklearn.utils import check_consistent_length


@dataclass(frozen=True)
class McNemar:
    """Where two heads differ on the same samples.

    Attributes
    ----------
    only_first, only_second
        Samples that the first head alone, or the second alone, got right.
    p_exact
        Two-sided binomial p: never too small, rather too large.
    p_mid
        Mid-p, which is nearer to its nominal level (Fagerland et al. 2013).
    """

    only_first: int
    only_second: int
    p_exact: float
    p_mid: float


def mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> McNemar:
    """Compare two heads on the same test samples (McNemar 1947).

    Parameters
    ----------
    first_right, second_right
        `[n]` of bool: which samples each head got right.

    Raises
    ------
    ValueError
        If they are of different numbers of samples.
    """
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    check_consistent_length(first, second)
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    fewer, differ = min(only_first, only_second), only_first + only_second
    exact = min(1.0, 2 * float(binom.cdf(fewer, differ, 0.5)))
    mid = 1.0 if only_first == only_second else 2 * float(binom.cdf(fewer, differ, 0.5)) - float(binom.pmf(fewer, differ, 0.5))
    return McNemar(only_first, only_second, exact, mid)


@dataclass(frozen=True)
class PairedDifference:
    """Mean difference of two heads' scores with its interval, and the p of there being none."""

    mean: float
    low: float
    high: float
    p: float


def corrected_resampled_t(
    differences: Sequence[float] | np.ndarray, train_samples: float, test_samples: float, confidence: float = 0.95
) -> PairedDifference:
    """Compare two heads over the same folds with the corrected resampled t-test (Nadeau and Bengio 2003).

    The folds' training parts overlap, so that the plain t-test takes luck for a difference; the variance is enlarged by
    the ratio of test to training samples.

    Parameters
    ----------
    differences
        One head's score less the other's, on each fold `[k]`.
    train_samples, test_samples
        Samples in a fold's training and test part (means where they differ).
    confidence
        Of the interval.

    Raises
    ------
    ValueError
        If there are fewer than two folds.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 2:
        raise ValueError("a comparison over folds takes at least two folds")
    mean, freedom = float(values.mean()), len(values) - 1
    error = math.sqrt(values.var(ddof=1) * (1 / len(values) + test_samples / train_samples))
    if error == 0:
        return PairedDifference(mean, mean, mean, 1.0 if mean == 0 else 0.0)
    reach = float(t.ppf((1 + confidence) / 2, freedom)) * error
    return PairedDifference(mean, mean - reach, mean + reach, 2 * float(t.sf(abs(mean) / error, freedom)))


def difference_of_shares(first_right: np.ndarray, second_right: np.ndarray, confidence: float = 0.95) -> PairedDifference:
    """Compare how often two heads are right on the same samples: McNemar's mid-p, and Bonett and Price's interval (2012).

    The interval is Wald's after one sample more on either side of which the heads differ, so that it has a width where few
    samples differ, or none, of which a bootstrap would draw no others.

    Parameters
    ----------
    first_right, second_right
        `[n]` of bool: which samples each head got right.
    confidence
        Of the interval.
    """
    found, samples = mcnemar(first_right, second_right), len(first_right)
    first, second = (found.only_first + 1) / (samples + 2), (found.only_second + 1) / (samples + 2)
    reach = float(norm.ppf((1 + confidence) / 2)) * math.sqrt((first + second - (first - second) ** 2) / (samples + 2))
    low, high = max(-1.0, first - second - reach), min(1.0, first - second + reach)
    return PairedDifference((found.only_first - found.only_second) / samples, low, high, found.p_mid)


def bootstrap_difference(
    first: np.ndarray, second: np.ndarray, resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> PairedDifference:
    """Compare two heads sample by sample by a paired percentile bootstrap.

    Parameters
    ----------
    first, second
        What each sample adds to each head's mean score `[n]`, such as a loss; for right or wrong see `difference_of_shares`.
    resamples, confidence, seed
        Of the bootstrap. `p` is twice the share of resamples on the far side of zero.
    """
    values = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    rng = np.random.default_rng(seed)
    means = np.array([values[rng.integers(len(values), size=len(values))].mean() for _ in range(resamples)])
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    p = min(1.0, 2 * min(float((means <= 0).mean()), float((means >= 0).mean())))
    return PairedDifference(float(values.mean()), float(low), float(high), max(p, 1 / resamples))


def adjust_p_values(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjust the p of several comparisons made at once (Holm 1979): the more there are, the smaller one of them is by luck.

    Parameters
    ----------
    values
        `[k]`.
    """
    p = np.asarray(values, dtype=float)
    order = np.argsort(p)
    raised = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    adjusted = np.empty(len(p))
    adjusted[order] = raised
    return adjusted
