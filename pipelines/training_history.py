"""What a trainer tells of its phases: losses and accuracies by epoch, and how they are watched as they happen."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from heads import Callback, TrainingState
from heads.losses import CrossEntropy


@dataclass
class TrainerHistory:
    """Epoch by epoch, over all phases.

    Attributes
    ----------
    train_loss, train_accuracy
        Over the epoch, as its batches passed; with dropout, smoothing and augmentation, if there are any.
    validation_loss, validation_accuracy
        After the epoch; empty without evaluation data.
    lr
        The classifier's learning rate at the epoch's end.
    phases
        The epoch at which each call of `train` began.
    kept
        The epoch whose weights each call kept.
    """

    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    phases: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.train_loss)

    def last(self) -> dict[str, float]:
        """Return the last epoch's numbers by name; of a series that is empty, none."""
        names = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "lr")
        return {name: getattr(self, name)[-1] for name in names if getattr(self, name)}

    def line(self) -> str:
        """Say in a line how the last phase ended."""
        epoch = self.kept[-1]
        parts = [f"epoch {epoch + 1} of {len(self)} kept: loss {self.train_loss[epoch]:.4f}"]
        parts.append(f"accuracy {self.train_accuracy[epoch]:.3f}")
        if self.validation_loss:
            parts.append(f"evaluation loss {self.validation_loss[epoch]:.4f}, accuracy {self.validation_accuracy[epoch]:.3f}")
        return ", ".join(parts)


class CountingLoss(CrossEntropy):
    """Cross-entropy that also counts how many samples of the batches it sees are right."""

    hits = 0
    seen = 0

    def __call__(self, logits: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Return losses `[b]`, and count."""
        object.__setattr__(self, "hits", self.hits + int((logits.detach().argmax(dim=1) == codes).sum()))
        object.__setattr__(self, "seen", self.seen + len(codes))
        return super().__call__(logits, codes)

    def accuracy(self) -> float:
        """Return the share that was right since the last time, and begin again."""
        share = self.hits / max(self.seen, 1)
        object.__setattr__(self, "hits", 0)
        object.__setattr__(self, "seen", 0)
        return share


class Watcher(Callback):
    """Puts every epoch of the training loop in a trainer's history, and tells others.

    Parameters
    ----------
    history
        Goes on.
    loss
        Which counts the training's accuracy.
    accuracies
        The validation's, an epoch each, as the score is computed.
    tell
        Told every epoch's number and numbers by name.
    """

    def __init__(
        self,
        history: TrainerHistory,
        loss: CountingLoss,
        accuracies: list[float],
        tell: Callable[[int, dict[str, float]], None],
    ) -> None:
        self.tell = tell
        self.history = history
        self.loss = loss
        self.accuracies = accuracies
        self.first = len(history)
        history.phases.append(self.first)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Note the epoch."""
        history, told = self.history, state.history
        history.train_loss.append(told.train_loss[-1])
        history.train_accuracy.append(self.loss.accuracy())
        if told.validation_loss:
            history.validation_loss.append(told.validation_loss[-1])
            history.validation_accuracy.append(self.accuracies[-1])
        history.lr.append(told.lr[-1])
        self.tell(len(history) - 1, history.last())

    def on_train_end(self, state: TrainingState) -> None:
        """Note which epoch's weights were kept."""
        self.history.kept.append(self.first + state.history.best_epoch)


def accuracy_of(logits: torch.Tensor, codes: torch.Tensor, classes: int) -> float:
    """Return the accuracy of logits `[n, c]`, of which the first `classes` stand for something."""
    return float(np.mean((logits[:, :classes].argmax(dim=1) == codes).cpu().numpy()))
