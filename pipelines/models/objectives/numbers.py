"""One or several numbers a sample."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from extract.sources.columns import split_labels
from heads import Estimate, regression_metrics, score_predictions
from heads.losses import Deviation, Loss
from pipelines.errors import TrainingError, UsageError
from pipelines.models.objectives.base import Objective


@dataclass(frozen=True, eq=False)
class Numbers(Objective):
    """Outputs are numbers, brought to mean zero and deviation one over the training samples, as heads do.

    A sample's label is a number, a text that is one, or a list or row of several.

    Attributes
    ----------
    mean, scale
        `[m]`, of the training samples' numbers; float32, by which they are rounded once.
    """

    kind: ClassVar[str] = "regression"
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def check(cls, metric: str | None, class_weight: Any, label_smoothing: float) -> str:
        """See `Objective.check`."""
        for name, value in (("class_weight", class_weight), ("label_smoothing", label_smoothing)):
            if value:
                raise UsageError(f"{name} is of classes, and a regression has none; leave it out")
        return super().check(metric, class_weight, label_smoothing)

    @classmethod
    def of(cls, labels: Sequence[Any], width: int, places: Sequence[str]) -> "Numbers":
        """See `Objective.of`: mean and deviation of every number."""
        values = read_numbers(labels, width, places)
        if len(values) < 2 or not (values != values[0]).any():
            raise TrainingError(f"all {len(values)} samples have the label {labels[0]!r}; there is nothing to learn")
        deviation = values.std(axis=0).astype(np.float32)
        return cls(values.mean(axis=0).astype(np.float32), np.where(deviation > 0, deviation, np.float32(1)))

    def encode(self, labels: Sequence[Any], places: Sequence[str]) -> np.ndarray:
        """Return standardised numbers `[n, m]`."""
        values = read_numbers(labels, len(self.mean), places)
        standardised: np.ndarray = (values - self.mean.astype(float)) / self.scale.astype(float)
        return standardised

    def loss(self, targets: np.ndarray, class_weight: Any, smoothing: float) -> Loss:
        """Return squared errors, averaged over what is predicted."""
        return Deviation()

    def brief(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs."""
        return outputs

    def follow(self, brief: np.ndarray, targets: np.ndarray) -> float:
        """Return R2, averaged over what is predicted; that of a single sample is 0."""
        return score_predictions(brief, targets, self.followed()) if len(targets) > 1 else 0.0

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Return numbers as the labels have them: `[n]`, or `[n, m]` where there are several a sample."""
        return self._shaped(outputs.astype(float) * self.scale.astype(float) + self.mean.astype(float))

    def answers(self, predictions: np.ndarray) -> list[Any]:
        """Return a number a sample, or a list of them."""
        found: list[Any] = predictions.tolist()
        return found

    def estimates(self, targets: np.ndarray, predictions: np.ndarray) -> dict[str, Estimate]:
        """See `regression_metrics`."""
        return regression_metrics(self.truth(targets), predictions)

    def errors(self, targets: np.ndarray, predictions: np.ndarray) -> list[Any]:
        """Return every sample's absolute error, averaged over its numbers."""
        off = np.abs(self.truth(targets) - predictions)
        return (off if off.ndim == 1 else off.mean(axis=1)).tolist()

    def truth(self, targets: np.ndarray) -> np.ndarray:
        """Return targets as the labels have them."""
        return self.predictions(targets)

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        return values[:, 0] if len(self.mean) == 1 else values


def read_numbers(labels: Sequence[Any], width: int, places: Sequence[str]) -> np.ndarray:
    """Return the numbers `[n, m]` in labels, so many each.

    Raises
    ------
    TrainingError
        If a label is no number, is not finite, or holds more or fewer, with its place.
    """
    values = np.empty((len(labels), width))
    for row, (label, place) in enumerate(zip(labels, places, strict=True)):
        parts = split_labels(label) if isinstance(label, str) else label if isinstance(label, list | tuple) else [label]
        numbers = [_number(part) for part in parts]
        if None in numbers or not numbers:
            raise TrainingError(f"{place}: the label {label!r} is no number, as a regression needs; correct it or leave it out")
        if len(numbers) != width:
            are = f"holds {len(numbers)} numbers" if len(numbers) > 1 else "is one number"
            outputs = "1 output" if width == 1 else f"{width} outputs"
            raise TrainingError(
                f"{place}: the label {label!r} {are} and the model has {outputs}; set num_classes={len(numbers)}"
            )
        values[row] = numbers
    return values


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
