"""Decisions: from a head's probabilities to answers, by temperature, thresholds and prediction sets."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from heads.calibration import apply_temperature, apply_temperature_to_labels, fit_temperature, tune_threshold
from heads.conformal import ConformalIntervals, ConformalSets, conformal_intervals, conformal_rank, conformal_sets


@dataclass(frozen=True)
class Decision:
    """How predictions become answers. As it is made without arguments, it changes nothing.

    Attributes
    ----------
    temperature
        Divides logits; None leaves probabilities as they are.
    thresholds
        From which probability on each label counts; one, that of the second class, for two classes. None: the most
        probable class, and a half for every label.
    sets
        Prediction sets for classes, or None.
    intervals
        Intervals around numbers, or None.
    """

    temperature: float | None = None
    thresholds: tuple[float, ...] | None = None
    sets: ConformalSets | None = None
    intervals: ConformalIntervals | None = None

    def class_probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities `[n, c]` of classes."""
        return probabilities if self.temperature is None else apply_temperature(probabilities, self.temperature)

    def label_probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities `[n, k]` of labels."""
        return probabilities if self.temperature is None else apply_temperature_to_labels(probabilities, self.temperature)

    def classes(self, probabilities: np.ndarray) -> np.ndarray:
        """Return class codes `[n]` from calibrated probabilities `[n, c]`."""
        if self.thresholds is None:
            return probabilities.argmax(axis=1)
        return (probabilities[:, 1] >= self.thresholds[0]).astype(int)

    def labels(self, probabilities: np.ndarray) -> np.ndarray:
        """Return which labels hold, `[n, k]` of 0 and 1, from their calibrated probabilities `[n, k]`."""
        return (probabilities >= (0.5 if self.thresholds is None else np.array(self.thresholds))).astype(int)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Decision":
        """Read what `to_dict` gave.

        Raises
        ------
        ValueError
            If it is something else.
        """
        try:
            temperature, thresholds = content["temperature"], content["thresholds"]
            sets, intervals = content["sets"], content["intervals"]
            return cls(
                None if temperature is None else float(temperature),
                None if thresholds is None else tuple(float(threshold) for threshold in thresholds),
                None if sets is None else ConformalSets(float(sets["coverage"]), str(sets["method"]), float(sets["quantile"])),
                None if intervals is None else ConformalIntervals(float(intervals["coverage"]), float(intervals["radius"])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a decision: {error}") from error


def fit_decision(
    predictions: np.ndarray,
    true: np.ndarray,
    *,
    temperature: bool = False,
    thresholds: str | None = None,
    coverage: float | None = None,
) -> Decision:
    """Fit a decision on held-out samples: temperature first, then thresholds and sets on the calibrated probabilities.

    Parameters
    ----------
    predictions
        As in `heads.predictions`: `[n, c]` or `[n, k]` probabilities, or `[n]` numbers.
    true
        Class codes `[n]`; 0 and 1 `[n, k]` for labels; numbers `[n]`.
    temperature
        Whether to scale by a temperature.
    thresholds
        Metric that thresholds are tuned to (see `heads.calibration.tune_threshold`), or None.
    coverage
        How often prediction sets or intervals are to hold the truth, or None.

    Raises
    ------
    ValueError
        If something is asked for that does not go with the targets, or there are too few samples.
    """
    kind = "regression" if predictions.ndim == 1 else "multilabel" if true.ndim == 2 else "classification"
    check_decision(kind, len(true), predictions.shape[-1], temperature=temperature, thresholds=thresholds, coverage=coverage)
    if kind == "regression":
        return Decision(intervals=None if coverage is None else conformal_intervals(predictions, true, coverage))
    labels = kind == "multilabel"
    decision = Decision(fit_temperature(predictions, true) if temperature else None)
    scaled = decision.label_probabilities(predictions) if labels else decision.class_probabilities(predictions)
    tuned = None
    if thresholds is not None:
        columns = range(predictions.shape[1]) if labels else (1,)
        tuned = tuple(tune_threshold(scaled[:, k], true[:, k] == 1 if labels else true == 1, thresholds) for k in columns)
    sets = None if coverage is None else conformal_sets(scaled, true, coverage)
    return Decision(decision.temperature, tuned, sets)


def check_decision(
    kind: str,
    samples: int,
    classes: int,
    *,
    temperature: bool = False,
    thresholds: str | None = None,
    coverage: float | None = None,
) -> None:
    """See that a decision can be fitted, before there are predictions.

    Parameters
    ----------
    kind
        Of the targets: `classification`, `multilabel` or `regression`.
    samples, classes
        How many are held out, and how many classes there are.
    temperature, thresholds, coverage
        As of `fit_decision`.

    Raises
    ------
    ValueError
        If something does not go with the targets, or there are too few samples.
    """
    if kind == "regression" and (temperature or thresholds is not None):
        raise ValueError("temperature and thresholds are for probabilities, and numbers are predicted here")
    if thresholds is not None and kind == "classification" and classes != 2:
        raise ValueError(f"a threshold is for two classes or for labels, and there are {classes} classes")
    if coverage is not None:
        if kind == "multilabel":
            raise ValueError("prediction sets are for one class a sample, and samples have several labels here")
        conformal_rank(samples, coverage)
