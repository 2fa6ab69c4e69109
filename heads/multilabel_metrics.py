"""Metrics of predictions of several labels a sample, with bootstrap intervals. Names are scikit-learn's scorers'."""

import numpy as np

from heads.estimates import Estimate, estimate
from heads.probabilities import area_estimates


def multilabel_metrics(
    true: np.ndarray,
    predicted: np.ndarray,
    probabilities: np.ndarray | None,
    resamples: int = 300,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Compute F1, precision, recall, subset accuracy and, with probabilities, average precision, area under the ROC curve and
    log loss, with percentile bootstrap intervals.

    Parameters
    ----------
    true, predicted
        Which labels hold: `[n, k]` of 0 and 1.
    probabilities
        `[n, k]`, or None where the head has none; average precision is the mean over labels that occur.
    resamples, confidence, seed
        Of the bootstrap, which draws samples with all their labels.
    """
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(true), np.full(len(true), 1 / len(true)), size=resamples).astype(np.int32)
    draws = np.concatenate([np.ones((1, len(true)), np.int32), draws])  # the samples as they are come first
    hits, taken, held = (draws @ part for part in (true * predicted, predicted, true))
    values: dict[str, np.ndarray] = {
        "f1_macro": _ratio(2 * hits, taken + held).mean(axis=1),
        "f1_micro": _ratio(2 * hits.sum(axis=1), (taken + held).sum(axis=1)),
        "precision_macro": _ratio(hits, taken).mean(axis=1),
        "recall_macro": _ratio(hits, held).mean(axis=1),
        "accuracy": draws @ (true == predicted).all(axis=1) / len(true),
        "f1_weighted": _ratio((_ratio(2 * hits, taken + held) * held).sum(axis=1), held.sum(axis=1)),
        "precision_micro": _ratio(hits.sum(axis=1), taken.sum(axis=1)),
        "recall_micro": _ratio(hits.sum(axis=1), held.sum(axis=1)),
        "hamming_loss": draws @ (true != predicted).mean(axis=1) / len(true),
    }
    if probabilities is not None and true.any():
        values["average_precision"] = _average_precision(true, probabilities, draws)
    if probabilities is not None:
        own = np.where(true > 0, probabilities, 1 - probabilities)
        values["log_loss"] = draws @ -np.log(np.clip(own, 1e-15, 1)).mean(axis=1) / len(true)
    found = {name: estimate(float(drawn[0]), drawn[1:], confidence) for name, drawn in values.items()}
    if probabilities is not None:
        areas = area_estimates(true > 0, probabilities, resamples, confidence, seed)
        found |= {} if areas.mean is None else {"roc_auc": areas.mean}
    return found


def label_estimates(
    true: np.ndarray,
    predicted: np.ndarray,
    probabilities: np.ndarray | None,
    resamples: int = 300,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[dict[str, Estimate | None]]:
    """Compute every label's precision, recall and F1, and with probabilities its area under the ROC curve, with intervals.

    Parameters are those of `multilabel_metrics`. A label without an area (no sample has it, or all have) has None there.
    """
    rng = np.random.default_rng(seed)
    samples, labels = true.shape
    columns: list[dict[str, Estimate | None]] = []
    for label in range(labels):
        kinds = np.bincount(2 * true[:, label] + predicted[:, label], minlength=4)
        drawn = np.concatenate([kinds[None], rng.multinomial(samples, kinds / samples, size=resamples)])
        alarms, missed, hits = drawn[:, 1], drawn[:, 2], drawn[:, 3]
        parts = {
            "precision": _ratio(hits, hits + alarms),
            "recall": _ratio(hits, hits + missed),
            "f1": _ratio(2 * hits, 2 * hits + alarms + missed),
        }
        columns.append({name: estimate(values[0], values[1:], confidence) for name, values in parts.items()})
    if probabilities is not None:
        areas = area_estimates(true > 0, probabilities, resamples, confidence, seed).columns
        columns = [column | {"roc_auc": area} for column, area in zip(columns, areas, strict=True)]
    return columns


def _average_precision(true: np.ndarray, probabilities: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return the mean over labels of the step-wise area under precision against recall, for every draw of samples `[b, n]`."""
    areas = []
    for label in np.flatnonzero(true.any(axis=0)):
        order = np.argsort(-probabilities[:, label], kind="stable")
        scores, drawn = probabilities[order, label], draws[:, order]
        last = np.append(scores[1:] != scores[:-1], True)  # equal scores are one step
        taken = drawn.cumsum(axis=1)[:, last]
        hits = (drawn * true[order, label]).cumsum(axis=1)[:, last]
        steps = np.diff(hits, axis=1, prepend=0)
        areas.append(_ratio((steps * _ratio(hits, taken)).sum(axis=1), hits[:, -1]))
    return np.mean(areas, axis=0)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0)
