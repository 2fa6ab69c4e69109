"""One class a sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from extract import LABEL_SEPARATOR
from heads import Estimate, Targets, classification_metrics
from heads.losses import CrossEntropy, Loss
from heads.scores import softmax
from heads.targets import class_weights
from pipelines.errors import TrainingError
from pipelines.models.objectives.base import Objective


@dataclass(frozen=True)
class Classes(Objective):
    """Outputs are logits, of which the first stand for classes; the rest, if there are more, for nothing.

    Attributes
    ----------
    names
        The classes, as the labels have them.
    """

    kind: ClassVar[str] = "classification"
    names: Sequence[Any]

    @classmethod
    def of(cls, labels: Sequence[Any], width: int, places: Sequence[str]) -> "Classes":
        """See `Objective.of`: the classes are the labels, sorted; or 0, 1, ... where the labels are such numbers."""
        for label, place in zip(labels, places, strict=True):
            if isinstance(label, list | tuple | set | frozenset) or (isinstance(label, str) and LABEL_SEPARATOR in label):
                raise TrainingError(f"{place}: holds several labels; make the model with task='multilabel'")
        names = find_classes(labels, width)
        if len(set(labels)) < 2:
            raise TrainingError(f"all {len(labels)} samples are of class {labels[0]!r}; a classifier needs two classes")
        return cls(names)

    def encode(self, labels: Sequence[Any], places: Sequence[str]) -> np.ndarray:
        """Return the labels' codes `[n]`."""
        return encode(labels, self.names, places)

    def weights(self, targets: np.ndarray, class_weight: Any) -> np.ndarray:
        """Return every sample's weight `[n]`, from its class."""
        return class_weights(class_weight, Targets(np.array(self.names), targets))

    def loss(self, targets: np.ndarray, class_weight: Any, smoothing: float) -> Loss:
        """Return the cross-entropy; classes' weights are the samples'."""
        return CrossEntropy(smoothing)

    def brief(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the codes `[b]` answered."""
        return outputs[:, : len(self.names)].argmax(dim=1)

    def follow(self, brief: np.ndarray, targets: np.ndarray) -> float:
        """Return the accuracy."""
        return float(np.mean(brief == targets))

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Return the classes' probabilities `[n, c]`."""
        return softmax(outputs[:, : len(self.names)].astype(float))

    def answers(self, predictions: np.ndarray) -> list[Any]:
        """Return the most probable class of every sample."""
        return [self.names[code] for code in predictions.argmax(axis=1).tolist()]

    def estimates(self, targets: np.ndarray, predictions: np.ndarray) -> dict[str, Estimate]:
        """See `classification_metrics`."""
        return classification_metrics(targets, predictions.argmax(axis=1), predictions, len(self.names))

    def errors(self, targets: np.ndarray, predictions: np.ndarray) -> list[Any]:
        """Return `right` or `wrong` for every sample."""
        return np.where(predictions.argmax(axis=1) == targets, "right", "wrong").tolist()


def find_classes(labels: Sequence[Any], width: int) -> list[Any]:
    """Return what a model's outputs stand for: the labels, sorted; or 0, 1, ... where the labels are such numbers.

    Raises
    ------
    TrainingError
        If there are more classes than outputs.
    """
    found = set(labels)
    numbers = [_as_number(label) for label in found]
    if all(number is not None and 0 <= number < width for number in numbers):
        text = isinstance(next(iter(found)), str)
        return [str(number) if text else number for number in range(width)]
    classes = sorted(found, key=str)
    if len(classes) > width:
        hint = ", or task='regression' for numbers" if any(isinstance(label, float) for label in found) else ""
        raise TrainingError(f"the labels hold {len(classes)} classes and the model has {width} outputs; set num_classes{hint}")
    return classes


def encode(labels: Sequence[Any], classes: Sequence[Any], places: Sequence[str]) -> np.ndarray:
    """Return the labels' codes `[n]` among the classes; raises `TrainingError` for one that is not there."""
    code = {name: number for number, name in enumerate(classes)}
    for label, place in zip(labels, places, strict=True):
        if isinstance(label, list | set) or label not in code:
            raise TrainingError(f"{place}: {label!r} is no class of this model, which knows {', '.join(map(str, classes))}")
    return np.array([code[label] for label in labels], dtype=np.int64)


def _as_number(label: Any) -> int | None:
    if isinstance(label, str):
        return int(label) if label.isascii() and label.isdigit() and str(int(label)) == label else None
    return label if isinstance(label, int) and not isinstance(label, bool) else None
