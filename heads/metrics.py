"""Metrics of a classifier on held-out samples, with bootstrap intervals. Names are scikit-learn's scorers'."""

from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist

import numpy as np

from heads.estimates import Estimate, estimate
from heads.probabilities import area_estimates, probability_metrics

_WORK, _BLOCK = 200_000_000, 4_000_000
"""Counts that are drawn at most, and at once."""


def confusion_matrix(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count `[c, c]`: rows are true class codes, columns predicted ones."""
    return np.bincount(true * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def classification_metrics(
    true: np.ndarray,
    predicted: np.ndarray,
    probabilities: np.ndarray | None,
    classes: int,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Compute accuracy, F1, precision, recall, Matthews' coefficient and more, with percentile bootstrap intervals.

    All but those that need probabilities (see `probability_metrics`) are functions of the confusion matrix. Drawing `n` (true,
    predicted) pairs with replacement is drawing a confusion matrix from a multinomial, so the bootstrap (Efron 1979) costs
    nothing per sample.

    Parameters
    ----------
    true, predicted
        Class codes `[n]`.
    probabilities
        `[n, c]`, or None where the head has none.
    classes
        How many codes there are; those that occur neither in `true` nor in `predicted` count in no average.
    resamples, confidence, seed
        Of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    counts = confusion_matrix(true, predicted, classes)
    present = (counts.sum(axis=0) + counts.sum(axis=1)) > 0
    counts = counts[np.ix_(present, present)]
    drawn = [{name: metric(block) for name, metric in _METRICS.items()} for block in _draw(counts, resamples, rng)]
    estimates = {
        name: estimate(metric(counts[None])[0], np.concatenate([part[name] for part in drawn]), confidence)
        for name, metric in _METRICS.items()
    }
    estimates["accuracy"] = _opened(estimates["accuracy"], len(true), confidence)
    if probabilities is not None:
        estimates |= probability_metrics(true, probabilities, min(resamples, 500), confidence, seed, predicted)
    return estimates


def _opened(accuracy: Estimate, samples: int, confidence: float) -> Estimate:
    """Give an accuracy of 0 or 1, whose resamples are all the same, the interval of Wilson's score (1927) on its open side."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    room = z**2 / (samples + z**2)
    if accuracy.low == accuracy.high == 1:
        return Estimate(1.0, 1 - room, 1.0)
    return Estimate(0.0, 0.0, room) if accuracy.low == accuracy.high == 0 else accuracy


def class_estimates(
    true: np.ndarray,
    predicted: np.ndarray,
    probabilities: np.ndarray | None,
    classes: int,
    resamples: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[dict[str, Estimate | None]]:
    """Compute every class's precision, recall and F1, and with probabilities its area under the ROC curve, with intervals.

    Parameters are those of `classification_metrics`. A class without an area (no sample has it, or all have) has None there.
    """
    counts = confusion_matrix(true, predicted, classes)
    blocks = [_precision_recall_f1(block) for block in _draw(counts, resamples, np.random.default_rng(seed))]
    parts = zip(_precision_recall_f1(counts[None]), (np.concatenate(part) for part in zip(*blocks, strict=True)), strict=True)
    columns: dict[str, list[Estimate | None]] = {
        name: [estimate(value[0, code], resampled[:, code], confidence) for code in range(classes)]
        for name, (value, resampled) in zip(("precision", "recall", "f1"), parts, strict=True)
    }
    if probabilities is not None:
        positive = true[:, None] == np.arange(classes)
        columns["roc_auc"] = area_estimates(positive, probabilities, resamples, confidence, seed).columns
    return [{name: column[code] for name, column in columns.items()} for code in range(classes)]


def _draw(counts: np.ndarray, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield blocks `[b, c, c]` of resampled confusion matrices; of many classes fewer, 50 at least."""
    samples, held = int(counts.sum()), np.flatnonzero(counts)
    resamples = min(resamples, max(50, _WORK // counts.size))
    step = max(1, _BLOCK // counts.size)
    for start in range(0, resamples, step):
        block = np.zeros((min(step, resamples - start), counts.size), np.int64)
        block[:, held] = rng.multinomial(samples, counts.ravel()[held] / samples, size=len(block))
        yield block.reshape(-1, *counts.shape)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(np.broadcast_shapes(part.shape, whole.shape)), where=whole > 0)


def _precision_recall_f1(counts: np.ndarray) -> Sequence[np.ndarray]:
    hits = np.diagonal(counts, axis1=1, axis2=2)
    predicted, true = counts.sum(axis=1), counts.sum(axis=2)
    return _ratio(hits, predicted), _ratio(hits, true), _ratio(2 * hits, predicted + true)


def _accuracy(counts: np.ndarray) -> np.ndarray:
    return _ratio(np.trace(counts, axis1=1, axis2=2), counts.sum(axis=(1, 2)))


def _balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    seen = counts.sum(axis=2) > 0
    return _ratio((_precision_recall_f1(counts)[1] * seen).sum(axis=1), seen.sum(axis=1))


def _macro(part: int) -> Callable[[np.ndarray], np.ndarray]:
    def metric(counts: np.ndarray) -> np.ndarray:
        seen = counts.sum(axis=1) + counts.sum(axis=2) > 0
        return _ratio((_precision_recall_f1(counts)[part] * seen).sum(axis=1), seen.sum(axis=1))

    return metric


def _weighted(part: int) -> Callable[[np.ndarray], np.ndarray]:
    def metric(counts: np.ndarray) -> np.ndarray:
        support = counts.sum(axis=2)
        return _ratio((_precision_recall_f1(counts)[part] * support).sum(axis=1), support.sum(axis=1))

    return metric


def _matthews(counts: np.ndarray) -> np.ndarray:
    """Return the correlation of truth and answer (Matthews 1975; Gorodkin 2004); 0 where either is constant."""
    counts = counts.astype(float)
    predicted, true, whole = counts.sum(axis=1), counts.sum(axis=2), counts.sum(axis=(1, 2))
    shared = np.trace(counts, axis1=1, axis2=2) * whole - (predicted * true).sum(axis=1)
    spread = (whole**2 - (predicted**2).sum(axis=1)) * (whole**2 - (true**2).sum(axis=1))
    return _ratio(shared, np.sqrt(np.maximum(spread, 0)))


_METRICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1_macro": _macro(2),
    "f1_weighted": _weighted(2),
    "precision_macro": _macro(0),
    "recall_macro": _macro(1),
    "f1_micro": _accuracy,
    "precision_weighted": _weighted(0),
    "recall_weighted": _weighted(1),
    "matthews_corrcoef": _matthews,
}

CONFUSION_METRICS = frozenset(_METRICS)
"""Names of the metrics that a confusion matrix is enough for."""


def confusion_metric(name: str, counts: np.ndarray) -> np.ndarray:
    """Return one of `CONFUSION_METRICS` for each of a stack of confusion matrices `[k, c, c]`, whose counts may be weighted."""
    return _METRICS[name](counts)
