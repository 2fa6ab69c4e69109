"""Metrics of predictions of several labels a sample, with bootstrap intervals. Names are scikit-learn's scorers'."""

import numpy as np

from heads.metrics import Estimate, estimate


def multilabel_metrics(
    true: np.ndarray,
    predicted: np.ndarray,
    probabilities: np.ndarray | None,
    resamples: int = 300,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Compute macro and micro F1, precision, recall, subset accuracy and average precision with percentile bootstrap intervals.

    Parameters
    ----------
    true, predicted
        Which labels hold: `[n, k]` of 0 and 1.
    probabilities
        `[n, k]`, or None where the head has none; average precision needs them, and is the mean over labels that occur.
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
    }
    if probabilities is not None and true.any():
        values["average_precision"] = _average_precision(true, probabilities, draws)
    return {name: estimate(float(drawn[0]), drawn[1:], confidence) for name, drawn in values.items()}


def per_label(true: np.ndarray, predicted: np.ndarray) -> list[dict[str, float]]:
    """Return precision, recall, F1 and support of every label of `[n, k]`."""
    hits, taken, held = (true * predicted).sum(axis=0), predicted.sum(axis=0), true.sum(axis=0)
    parts = (_ratio(hits, taken), _ratio(hits, held), _ratio(2 * hits, taken + held), held)
    return [
        {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for p, r, f, s in zip(*parts, strict=True)
    ]


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
