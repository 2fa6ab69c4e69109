"""Ensembles of trials: a weighted mean of their predictions, weighed by held-out predictions."""

from collections.abc import Callable, Sequence

import numpy as np


def greedy_weights(
    predictions: Sequence[np.ndarray], score: Callable[[np.ndarray], float], size: int, start: int = 1
) -> np.ndarray:
    """Choose an ensemble by adding, with replacement, whichever trial helps most (Caruana et al. 2004).

    Parameters
    ----------
    predictions
        Each trial's predictions of the same held-out samples: `[n, c]` probabilities, or `[n]` numbers. Best trial first.
    score
        Mean predictions -> score, higher is better.
    size
        How many times a trial is added.
    start
        How many of the best trials the ensemble begins with, which keeps it from chasing noise.

    Returns
    -------
    ndarray
        `[m]`, each trial's weight; they sum to one. Of all ensembles on the way the best is kept, and of equals the smallest.

    Raises
    ------
    ValueError
        If there is no trial.
    """
    if not len(predictions):
        raise ValueError("an ensemble needs at least one trial")
    counts = np.zeros(len(predictions), int)
    counts[: min(start, len(predictions))] = 1
    total = sum(part for part, count in zip(predictions, counts, strict=True) if count)
    best_score, best = score(total / counts.sum()), counts.copy()
    while counts.sum() < size:
        members = int(counts.sum()) + 1
        scores = [score((total + part) / members) for part in predictions]
        chosen = int(np.argmax(scores))
        counts[chosen] += 1
        total = total + predictions[chosen]
        if scores[chosen] > best_score:
            best_score, best = scores[chosen], counts.copy()
    return best / best.sum()


def top_weights(trials: int, size: int) -> np.ndarray:
    """Return the weights `[trials]` of a plain mean over the `size` best of trials in order."""
    weights = np.zeros(trials)
    weights[:size] = 1
    return weights / weights.sum()


def mean_prediction(predictions: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean of predictions of the same shape."""
    return np.asarray(sum(weight * part for weight, part in zip(weights.tolist(), predictions, strict=True)))
