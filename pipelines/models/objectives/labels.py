"""Any number of labels a sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from extract.sources.columns import split_labels
from heads import Estimate, Targets, multilabel_metrics, score_predictions
from heads.losses import LabelCrossEntropy, Loss
from heads.scores import sigmoid
from heads.targets import class_weights, encode_known, plain_labels
from pipelines.errors import TrainingError
from pipelines.models.objectives.base import Objective


@dataclass(frozen=True)
class Labels(Objective):
    """Every output is the log-odds of a label.

    A sample's label is a list or set of names (an empty one: none of them), a name alone, or a row of 0 and 1, one an output.

    Attributes
    ----------
    names
        The labels `[k]`; numbers from 0 where they came as 0 and 1.
    """

    kind: ClassVar[str] = "multilabel"
    names: Sequence[Any]

    @classmethod
    def of(cls, labels: Sequence[Any], width: int, places: Sequence[str]) -> "Labels":
        """See `Objective.of`: the names are those that occur, sorted; a row of 0 and 1 has none."""
        given = _collections(labels, places, width)
        rows = plain_labels(given)
        if rows.ndim == 2:
            names: list[Any] = list(range(width))
        else:
            names = sorted({name for row in given for name in row}, key=lambda name: (isinstance(name, str), name))
            if len(names) != width:
                told = ", ".join(map(str, names[:5])) + (", ..." if len(names) > 5 else "")
                raise TrainingError(
                    f"the samples have {len(names)} different labels ({told}) and the model {width} outputs; "
                    f"set num_classes={max(len(names), 1)}, or name all {width} as `model.classes`"
                )
        found = cls(names)
        if not found.encode(labels, places).any():
            raise TrainingError(f"none of {len(labels)} training samples has any label; there is nothing to learn")
        return found

    def encode(self, labels: Sequence[Any], places: Sequence[str]) -> np.ndarray:
        """Return which labels every sample has: 0 and 1 `[n, k]`."""
        given = _collections(labels, places, len(self.names))
        rows, known = plain_labels(given), set(self.names)
        if rows.ndim == 2:
            fine = np.isin(rows, (0, 1)).all(axis=1) & (rows.shape[1] == len(self.names))
            if not fine.all():
                bad = int(fine.argmin())
                raise TrainingError(f"{places[bad]}: {given[bad]!r} is no row of {len(self.names)} numbers 0 or 1, one a label")
        else:
            for row, place in zip(given, places, strict=True):
                if strange := sorted(map(str, set(row) - known)):
                    told = ", ".join(map(str, self.names))
                    raise TrainingError(f"{place}: {strange[0]!r} is no label of this model, which knows {told}")
        return encode_known(given, np.array(self.names, dtype=object), multilabel=True).astype(np.int64)

    def loss(self, targets: np.ndarray, class_weight: Any, smoothing: float) -> Loss:
        """Return every label's binary cross-entropy, with weights for its positives."""
        if class_weight is None:
            return LabelCrossEntropy(smoothing=smoothing)
        weights = class_weights(class_weight, Targets(np.array(self.names, dtype=object), targets.astype(bool)))
        return LabelCrossEntropy(torch.as_tensor(weights), smoothing)

    def brief(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return which labels are answered, `[b, k]`."""
        return outputs > 0

    def follow(self, brief: np.ndarray, targets: np.ndarray) -> float:
        """Return the F1 score, averaged over labels."""
        return score_predictions(brief.astype(float), targets.astype(int), self.followed())

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Return every label's own probability `[n, k]`."""
        return sigmoid(outputs.astype(float))

    def answers(self, predictions: np.ndarray) -> list[Any]:
        """Return the names of the labels with a probability of a half or more."""
        return [[self.names[code] for code in np.flatnonzero(row).tolist()] for row in predictions >= 0.5]

    def estimates(self, targets: np.ndarray, predictions: np.ndarray) -> dict[str, Estimate]:
        """See `multilabel_metrics`."""
        return multilabel_metrics(targets, (predictions >= 0.5).astype(int), predictions)

    def errors(self, targets: np.ndarray, predictions: np.ndarray) -> list[Any]:
        """Return for every sample whether all labels are `right`, or `wrong`."""
        return np.where(((predictions >= 0.5) == targets).all(axis=1), "right", "wrong").tolist()

    def truth(self, targets: np.ndarray) -> np.ndarray:
        """Return targets as whole numbers."""
        return targets.astype(int)


def _collections(labels: Sequence[Any], places: Sequence[str], width: int) -> list[Any]:
    """Return labels as collections: a text is names, or a row of 0 and 1 for so many labels, joined as sources join them."""
    given = [split_labels(label) if isinstance(label, str) else label for label in labels]
    for label, place in zip(given, places, strict=True):
        if not isinstance(label, list | tuple | set | frozenset):
            raise TrainingError(f"{place}: {label!r} is no list of labels; a sample with one label has a list of one")
    if any(isinstance(label, set | frozenset) for label in given):
        return [frozenset(label) for label in given]
    if width > 1 and all(len(label) == width and set(label) <= {"0", "1"} for label in given):
        return [tuple(map(int, label)) for label in given]
    return given
