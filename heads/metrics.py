"""Metrics of a classifier on held-out samples, with bootstrap intervals. Names are scikit-learn's scorers'."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from heads.calibration import calibration_error


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
    """Compute accuracy, F1, precision, recall, log loss, calibration error and more, with percentile bootstrap intervals.

    All but the last two are functions of the confusion matrix. Drawing `n` (true, predicted) pairs with replacement is
    drawing a confusion matrix from a multinomial, so the bootstrap (Efron 1979) costs nothing per sample.

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
    drawn = rng.multinomial(len(true), (counts / len(true)).ravel(), size=resamples).reshape(resamples, *counts.shape)
    estimates = {name: estimate(metric(counts[None])[0], metric(drawn), confidence) for name, metric in _METRICS.items()}
    if probabilities is not None:
        losses = -np.log(np.clip(probabilities[np.arange(len(true)), true], 1e-15, 1))
        means = [losses[rng.integers(len(losses), size=len(losses))].mean() for _ in range(min(resamples, 500))]
        estimates["log_loss"] = estimate(float(losses.mean()), np.array(means), confidence)
        draws = (rng.integers(len(true), size=len(true)) for _ in range(min(resamples, 500)))
        errors = [calibration_error(probabilities[rows], true[rows]) for rows in draws]
        estimates["calibration_error"] = estimate(calibration_error(probabilities, true), np.array(errors), confidence)
    return estimates


def per_class(counts: np.ndarray) -> list[dict[str, float]]:
    """Return precision, recall, F1 and support of every class of a confusion matrix `[c, c]`."""
    precision, recall, f1 = (part[0] for part in _precision_recall_f1(counts[None]))
    support = counts.sum(axis=1)
    return [
        {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for p, r, f, s in zip(precision, recall, f1, support, strict=True)
    ]


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


def _f1_weighted(counts: np.ndarray) -> np.ndarray:
    support = counts.sum(axis=2)
    return _ratio((_precision_recall_f1(counts)[2] * support).sum(axis=1), support.sum(axis=1))


_METRICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1_macro": _macro(2),
    "f1_weighted": _f1_weighted,
    "precision_macro": _macro(0),
    "recall_macro": _macro(1),
}

CONFUSION_METRICS = frozenset(_METRICS)
"""Names of the metrics that a confusion matrix is enough for."""


def confusion_metric(name: str, counts: np.ndarray) -> np.ndarray:
    """Return one of `CONFUSION_METRICS` for each of a stack of confusion matrices `[k, c, c]`, whose counts may be weighted."""
    return _METRICS[name](counts)
