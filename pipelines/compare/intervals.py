"""Metrics over repetitions and test samples: both are drawn anew, so that an interval holds the luck of either."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from heads import Estimate, PairedDifference
from heads.estimates import estimate
from heads.metrics import CONFUSION_METRICS, confusion_metric

RESAMPLES, CONFIDENCE = 1000, 0.95
_WORK, _FEWEST = 20_000_000, 50


@dataclass(frozen=True)
class Drawn:
    """A metric's mean over the seeds, and what it is in every resample `[b]`."""

    value: float
    resampled: np.ndarray

    def estimate(self) -> Estimate:
        """Return the value with its percentile interval."""
        return estimate(self.value, self.resampled, CONFIDENCE)

    def minus(self, other: "Drawn") -> PairedDifference:
        """Return the difference to another method on the same draws of test samples; `p` as in `bootstrap_difference`."""
        values = self.resampled - other.resampled
        low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        p = min(1.0, 2 * min(float((values <= 0).mean()), float((values >= 0).mean())))
        return PairedDifference(self.value - other.value, float(low), float(high), max(p, 1 / len(values)))


def draw_metrics(true: np.ndarray, probabilities: Sequence[np.ndarray], seed: int = 0) -> dict[str, Drawn]:
    """Compute metrics by a bootstrap of two levels (Davison and Hinkley 1997, 3.8): seeds, and test samples that all share.

    Parameters
    ----------
    true
        Class codes `[t]`; some may be of classes beyond those that were learnt.
    probabilities
        `[t, c]` for each seed.
    seed
        Of the draws; the same for methods that are to be compared.

    Returns
    -------
    dict of str to Drawn
        Those of `CONFUSION_METRICS`, and `log_loss` where every test sample's class was learnt.
    """
    learnt = probabilities[0].shape[1]
    classes = max(learnt, int(true.max()) + 1)
    resamples = max(_FEWEST, min(RESAMPLES, _WORK // classes**2))
    rng = np.random.default_rng(seed)
    samples = len(true)
    picked = rng.integers(len(probabilities), size=(resamples, len(probabilities)))
    weights = [np.ones(samples, dtype=np.int64), *rng.multinomial(samples, np.full(samples, 1 / samples), size=resamples)]
    cells = [true * classes + found.argmax(axis=1) for found in probabilities]
    found: dict[str, list[np.ndarray]] = {name: [] for name in CONFUSION_METRICS}
    for cell in cells:
        counts = np.stack([np.bincount(cell, weight, minlength=classes**2) for weight in weights])
        counts = counts.reshape(-1, classes, classes)
        for name in CONFUSION_METRICS:
            found[name].append(confusion_metric(name, counts))
    if true.max() < learnt:
        losses = [-np.log(np.maximum(table[np.arange(samples), true], 1e-15)) for table in probabilities]
        found["log_loss"] = [np.array([weight @ loss / samples for weight in weights]) for loss in losses]
    order = np.arange(resamples)
    return {
        name: Drawn(
            float(np.mean([values[0] for values in by_seed])),
            np.mean([np.stack(by_seed)[picked[:, place], 1 + order] for place in range(len(by_seed))], axis=0),
        )
        for name, by_seed in found.items()
    }
