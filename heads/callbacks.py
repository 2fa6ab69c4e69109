"""Hooks into training: what a callback is told, and when."""

from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass
class History:
    """What happened, epoch by epoch.

    Attributes
    ----------
    train_loss, validation_loss
        Mean losses; the validation's is plain, without smoothing, mixup or focus.
    best_epoch
        The epoch (from 0) whose weights were kept.
    score
        The metric that decides which weights are kept, larger is better; empty where the validation loss decides.
    lr
        Learning rate at the end of the epoch.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    best_epoch: int = 0
    score: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)


@dataclass
class TrainingState:
    """What a callback sees. Setting `stop` ends the training after the epoch.

    Attributes
    ----------
    epoch, step
        From 0.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    history: History
    epoch: int = 0
    step: int = 0
    stop: bool = False


class Callback:
    """Does nothing at every hook; a callback overrides those it wants."""

    def on_train_begin(self, state: TrainingState) -> None:
        """Before the first step."""

    def on_gradients(self, state: TrainingState) -> None:
        """Gradients are there; clipping and the step come next."""

    def on_epoch_end(self, state: TrainingState) -> None:
        """The epoch's losses are in the history."""

    def on_train_end(self, state: TrainingState) -> None:
        """The best weights are back in the model."""
