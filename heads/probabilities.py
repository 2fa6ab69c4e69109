"""Metrics of how sure a classifier is: areas under ROC curves, top-k accuracy, log loss, calibration; with intervals."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata

from heads.estimates import Estimate, estimate

_WORK = 30_000_000
_BLOCK = 4_000_000
_FEWEST_DRAWS = 50


@dataclass(frozen=True)
class Reliability:
    """A calibration curve: bins of confidence, those that are empty left out.

    Attributes
    ----------
    confidence, accuracy
        Mean in every bin.
    low, high
        The accuracy's Wilson interval.
    samples
        How many are in every bin.
    """

    confidence: list[float]
    accuracy: list[float]
    low: list[float]
    high: list[float]
    samples: list[int]


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> Reliability:
    """Compare how sure answers were with how often they were right.

    Parameters
    ----------
    confidence, right
        `[n]` each: the probability of what was answered, and whether it was true.
    bins
        Of equal width.
    """
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    samples = np.bincount(place, minlength=bins)
    held = samples > 0
    sums = [np.bincount(place, weights=part, minlength=bins)[held] for part in (confidence, right.astype(float))]
    n = samples[held]
    mean, share = sums[0] / n, sums[1] / n
    z = 1.96
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Reliability(mean.tolist(), share.tolist(), (middle - reach).tolist(), (middle + reach).tolist(), n.tolist())


def probability_metrics(
    true: np.ndarray,
    probabilities: np.ndarray,
    resamples: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
    predicted: np.ndarray | None = None,
) -> dict[str, Estimate]:
    """Compute log loss, calibration error, top-k accuracy and areas under ROC curves, with percentile bootstrap intervals.

    Parameters
    ----------
    true
        Class codes `[n]`.
    probabilities
        `[n, c]`.
    resamples, confidence, seed
        Of the bootstrap; fewer resamples for the areas where samples times classes are many.
    predicted
        Class codes `[n]` of the answers, whose calibration error it is; the most probable classes if None.

    Notes
    -----
    `roc_auc` is of the second class of two. `roc_auc_ovr` is the mean of every class against the rest, over the classes that
    some samples have and others do not. Neither is there where no class is such.
    """
    rng = np.random.default_rng(seed)
    samples, classes = probabilities.shape
    losses = -np.log(np.clip(probabilities[np.arange(samples), true], 1e-15, 1))
    answered = probabilities.argmax(axis=1) if predicted is None else predicted
    sure = probabilities[np.arange(samples), answered]
    gap, place = sure - (answered == true), np.minimum((sure * 15).astype(int), 14)
    drawn_losses, drawn_errors = np.empty(resamples), np.empty(resamples)
    for number in range(resamples):
        rows = rng.integers(samples, size=samples)
        drawn_losses[number] = losses[rows].mean()
        drawn_errors[number] = _calibration_error(gap[rows], place[rows])
    error = _calibration_error(gap, place)
    drawn_errors = np.maximum(drawn_errors - (drawn_errors.mean() - error), 0)  # chance in every bin makes them too large
    found = {
        "log_loss": estimate(losses.mean(), drawn_losses, confidence),
        "calibration_error": estimate(error, drawn_errors, confidence),
    }
    ranks = _ranks(true, probabilities)
    for k in (k for k in (2, 3, 5) if k < classes):
        share = float((ranks < k).mean())
        found[f"top_{k}_accuracy"] = estimate(share, rng.binomial(samples, share, size=resamples) / samples, confidence)
    areas = area_estimates(true[:, None] == np.arange(classes), probabilities, resamples, confidence, seed)
    if areas.mean is not None:
        if classes == 2:
            found["roc_auc"] = areas.columns[1] or areas.mean
        else:
            found["roc_auc_ovr"] = areas.mean
    return found


@dataclass(frozen=True)
class Areas:
    """Areas under ROC curves: of every column (None where all samples or none are positive), and their mean."""

    columns: list[Estimate | None]
    mean: Estimate | None


def area_estimates(
    positive: np.ndarray, scores: np.ndarray, resamples: int = 500, confidence: float = 0.95, seed: int = 0
) -> Areas:
    """Compute the area under every column's ROC curve with its interval.

    Parameters
    ----------
    positive, scores
        `[n, k]`: what is true of which sample, and how high it was scored.
    resamples, confidence, seed
        Of the bootstrap, in which at most 30 million scores are drawn; where that is less than 50 times all, intervals are
        those of Hanley and McNeil (1982), and the mean's is the mean of the columns', which is rather too wide.
    """
    samples, columns = scores.shape
    told = np.flatnonzero(positive.any(axis=0) & ~positive.all(axis=0))
    if not len(told):
        return Areas([None] * columns, None)
    draws = min(resamples, _WORK // (samples * len(told)))
    if draws < _FEWEST_DRAWS:
        return _areas_without_drawing(positive, scores, told, confidence)
    values = np.full((draws + 1, len(told)), np.nan)
    orders = [np.argsort(-scores[:, column], kind="stable") for column in told]
    for rows, weights in _draw(samples, draws, seed):
        for number, (column, order) in enumerate(zip(told, orders, strict=True)):
            values[rows, number] = _areas(positive[order, column], scores[order, column], weights[:, order])
    by_column: list[Estimate | None] = [None] * columns
    for number, place in enumerate(told.tolist()):
        by_column[place] = _of_drawn(values[:, number], confidence)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a draw that tells nothing apart
        means = np.nanmean(values, axis=1)
    return Areas(by_column, _of_drawn(means, confidence))


def _areas_without_drawing(positive: np.ndarray, scores: np.ndarray, told: np.ndarray, confidence: float) -> Areas:
    by_column: list[Estimate | None] = [None] * scores.shape[1]
    z = float(norm.ppf((1 + confidence) / 2))
    found = []
    for column in told.tolist():
        hits = int(positive[:, column].sum())
        misses = len(positive) - hits
        area = (float(rankdata(scores[:, column])[positive[:, column]].sum()) - hits * (hits + 1) / 2) / (hits * misses)
        both, twice = area / (2 - area), 2 * area**2 / (1 + area)
        spread = area * (1 - area) + (hits - 1) * (both - area**2) + (misses - 1) * (twice - area**2)
        reach = z * float(np.sqrt(max(spread, 0.0) / (hits * misses)))
        found.append(Estimate(area, max(area - reach, 0.0), min(area + reach, 1.0)))
        by_column[column] = found[-1]
    ends = np.mean([(one.value, one.low, one.high) for one in found], axis=0).tolist()
    return Areas(by_column, Estimate(*ends))


def _of_drawn(values: np.ndarray, confidence: float) -> Estimate:
    """Return the first value with the interval of the others, as far as they are numbers."""
    drawn = values[np.isfinite(values)]
    return estimate(values[0], drawn[1:] if len(drawn) > 1 else drawn, confidence)


def _draw(samples: int, draws: int, seed: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield blocks of how often each sample is drawn `[b, n]`; in the very first row each is there once."""
    rng = np.random.default_rng(seed)
    step = max(1, _BLOCK // samples)
    for start in range(0, draws + 1, step):
        count = min(step, draws + 1 - start)
        weights = np.empty((count, samples), np.float32)
        for row in weights:
            row[:] = np.bincount(rng.integers(samples, size=samples), minlength=samples)
        if start == 0:
            weights[0] = 1
        yield slice(start, start + count), weights


def _areas(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the areas `[b]` for samples in falling order of their scores, weighted `[b, n]`; ties count half."""
    steps = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))
    hits = np.add.reduceat(weights * positive, steps, axis=1, dtype=np.float64)
    misses = np.add.reduceat(weights * ~positive, steps, axis=1, dtype=np.float64)
    before = hits.cumsum(axis=1) - hits / 2
    whole = hits.sum(axis=1) * misses.sum(axis=1)
    return np.divide((misses * before).sum(axis=1), whole, out=np.full(len(weights), np.nan), where=whole > 0)


def _calibration_error(gap: np.ndarray, place: np.ndarray) -> float:
    return float(np.abs(np.bincount(place, weights=gap)).sum() / len(gap))


def _ranks(true: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return how many classes stand before the true one of each sample `[n]`; of equal ones the first code stands first."""
    own = probabilities[np.arange(len(true)), true][:, None]
    first = np.arange(probabilities.shape[1]) < true[:, None]
    ranks: np.ndarray = ((probabilities > own) | ((probabilities == own) & first)).sum(axis=1)
    return ranks
