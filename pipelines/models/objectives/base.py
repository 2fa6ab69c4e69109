"""What an objective says of a model's outputs: how they are learnt, what they answer, and how well. Arrays in, arrays out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from heads import Estimate, score_predictions
from heads.losses import Loss
from pipelines.errors import UsageError
from pipelines.metric_names import METRICS
from pipelines.names import nearest

LOSS = "loss"
"""The choice of the epoch with the lowest loss."""


class Objective(ABC):
    """What a model has been asked to say, once the training data have been looked at.

    Three forms of the same: *outputs* `[n, c]` are what a classifier gives; *targets* are what it is trained towards, codes
    `[n]`, 0 and 1 `[n, k]` or standardised numbers `[n, m]`; *predictions* are in the form of `heads.predictions`.

    Attributes
    ----------
    kind
        `classification`, `multilabel` or `regression`.
    """

    kind: ClassVar[str]

    @classmethod
    def followed(cls) -> str:
        """Return the metric that a history follows by epoch, which also chooses the best one by default."""
        return METRICS[cls.kind][0]

    @classmethod
    def check(cls, metric: str | None, class_weight: Any, label_smoothing: float) -> str:
        """Return what the best epoch is chosen by, for settings of a training.

        Raises
        ------
        UsageError
            If there is no such metric, with the nearest name, or a setting is of classes and there are none.
        """
        known = (*METRICS[cls.kind], LOSS)
        if metric is not None and metric not in known:
            raise UsageError(f"metric {metric!r} is not one of {cls.kind}; {nearest(metric, known)}")
        return metric or cls.followed()

    @classmethod
    @abstractmethod
    def of(cls, labels: Sequence[Any], width: int, places: Sequence[str]) -> "Objective":
        """Find out what there is to say from training labels `[n]`, for a model of so many outputs.

        Parameters
        ----------
        labels
            As the data have them; see the classes.
        width
            The model's outputs.
        places
            `[n]`, where each label stands, for messages.

        Raises
        ------
        TrainingError
            If nothing can be learnt from them or they do not fit the model, in one line.
        """

    @abstractmethod
    def encode(self, labels: Sequence[Any], places: Sequence[str]) -> np.ndarray:
        """Return the targets of labels `[n]`; raises `TrainingError` with the place of one that is not understood."""

    @abstractmethod
    def loss(self, targets: np.ndarray, class_weight: Any, smoothing: float) -> Loss:
        """Return what training on some targets makes small."""

    def weights(self, targets: np.ndarray, class_weight: Any) -> np.ndarray:
        """Return what every sample `[n]` weighs in the loss."""
        return np.ones(len(targets))

    @abstractmethod
    def brief(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return what is kept of outputs `[b, c]` to score an epoch by `followed`: as little as is enough."""

    @abstractmethod
    def follow(self, brief: np.ndarray, targets: np.ndarray) -> float:
        """Score what was kept, by `followed`."""

    @abstractmethod
    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Return what outputs `[n, c]` say."""

    @abstractmethod
    def answers(self, predictions: np.ndarray) -> list[Any]:
        """Return an answer a sample, as the labels have it."""

    @abstractmethod
    def estimates(self, targets: np.ndarray, predictions: np.ndarray) -> dict[str, Estimate]:
        """Return all metrics with their intervals."""

    @abstractmethod
    def errors(self, targets: np.ndarray, predictions: np.ndarray) -> list[Any]:
        """Return for every sample `right` or `wrong`, or how far off it is."""

    def score(self, targets: np.ndarray, outputs: np.ndarray, metric: str) -> float:
        """Score outputs `[n, c]` by one of `METRICS`; higher is better."""
        return score_predictions(self.predictions(outputs), self.truth(targets), metric)

    def truth(self, targets: np.ndarray) -> np.ndarray:
        """Return targets in the form that predictions are compared with."""
        return targets
