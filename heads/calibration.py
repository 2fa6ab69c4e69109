"""Calibration: probabilities that mean what they say, and thresholds that suit a metric, from held-out predictions."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, softmax

from heads.targets import check_codes

SMALLEST = 1e-12
_HOTTEST = 100.0


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Divide the logits behind probabilities by a temperature; above 1 makes them less sure. The most probable class stays.

    Parameters
    ----------
    probabilities
        `[n, c]`, each row a distribution over classes.
    temperature
        Above 0.
    """
    scaled: np.ndarray = softmax(np.log(np.clip(probabilities, SMALLEST, 1)) / temperature, axis=1)
    return scaled


def apply_temperature_to_labels(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Divide the logit behind every label's own probability `[n, k]` by a temperature."""
    scaled: np.ndarray = expit(logit(np.clip(probabilities, SMALLEST, 1 - SMALLEST)) / temperature)
    return scaled


def fit_temperature(probabilities: np.ndarray, true: np.ndarray) -> float:
    """Find the temperature with the lowest log loss on held-out samples (Guo et al. 2017).

    Parameters
    ----------
    probabilities
        `[n, c]` of samples that the head was not fitted to.
    true
        Class codes `[n]`, or 0 and 1 `[n, k]` where every sample may have several labels.

    Returns
    -------
    float
        Between 0.01 and 100; the loss is convex in its inverse, so that there is one minimum. 1 where no sample is mistaken:
        the loss would then be lowest at certainty, of which these samples say nothing.
    """
    probabilities, true = np.asarray(probabilities), np.asarray(true)
    if true.ndim != 2:
        true = check_codes(true, probabilities)
    right = (probabilities > 0.5) == true if true.ndim == 2 else probabilities.argmax(axis=1) == true
    if right.all():
        return 1.0

    def loss(log_temperature: float) -> float:
        temperature = float(np.exp(log_temperature))
        if true.ndim == 2:
            scaled = apply_temperature_to_labels(probabilities, temperature)
            hits = np.where(true > 0, scaled, 1 - scaled)
        else:
            hits = apply_temperature(probabilities, temperature)[np.arange(len(true)), true]
        return float(-np.log(np.clip(hits, SMALLEST, 1)).mean())

    bound = np.log(_HOTTEST)
    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


def calibration_error(probabilities: np.ndarray, true: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error (Naeini et al. 2015): the mean distance of confidence from accuracy.

    Parameters
    ----------
    probabilities
        `[n, c]`.
    true
        Class codes `[n]`.
    bins
        Number of equally wide bins of confidence.
    """
    probabilities = np.asarray(probabilities)
    confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == check_codes(true, probabilities)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=confidence - hit, minlength=bins)
    return float(np.abs(gaps).sum() / len(true))


def tune_threshold(scores: np.ndarray, positive: np.ndarray, metric: str = "f1") -> float:
    """Choose the threshold from which on a score counts as positive.

    Every threshold between two neighbouring scores is tried, in one sort. Of equally good ones the nearest to a half is taken.

    Parameters
    ----------
    scores
        `[n]`, probabilities of the positive class on held-out samples.
    positive
        `[n]` of bool.
    metric
        `f1`, `accuracy` or `balanced_accuracy`.

    Raises
    ------
    ValueError
        If there is no such metric.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, truth = scores[order], np.asarray(positive, bool)[order]
    hits = np.concatenate([[0], np.cumsum(truth)])
    taken = np.arange(len(scores) + 1)
    positives, negatives = max(int(truth.sum()), 1), max(int((~truth).sum()), 1)
    rejected = (~truth).sum() - (taken - hits)
    if metric == "f1":
        values = 2 * hits / np.maximum(taken + truth.sum(), 1)
    elif metric == "accuracy":
        values = (hits + rejected) / len(scores)
    elif metric == "balanced_accuracy":
        values = (hits / positives + rejected / negatives) / 2
    else:
        raise ValueError(f"no threshold is tuned to {metric!r}; metrics are f1, accuracy, balanced_accuracy")
    edges = np.concatenate([[np.inf], ranked, [-np.inf]])
    splits = edges[:-1] > edges[1:]  # equal scores are not told apart
    with np.errstate(invalid="ignore"):
        middles = np.clip((edges[:-1] + edges[1:]) / 2, 0, 1)
    middles[0], middles[-1] = np.nextafter(ranked[0], np.inf), 0.0
    best = splits & (values >= values[splits].max() - 1e-12)
    return float(min(middles[best], key=lambda threshold: abs(threshold - 0.5)))
