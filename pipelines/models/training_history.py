"""What a trainer tells of its phases: losses and scores by epoch, and how they are watched as they happen."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from heads import Callback, TrainingState
from heads.losses import Loss
from pipelines.models.objectives import Objective


@dataclass
class TrainerHistory:
    """Epoch by epoch, over all phases.

    Attributes
    ----------
    metric
        What `train_score` and `validation_score` are: `accuracy`, for several labels a sample `f1_macro`, for numbers `r2`.
    train_loss, train_score
        Over the epoch, as its batches passed; with dropout, smoothing and augmentation, if there are any.
    validation_loss, validation_score
        After the epoch; empty without evaluation data.
    chosen_by
        After the epoch, what the best one is chosen by, larger is better; empty without evaluation data.
    lr
        The classifier's learning rate at the epoch's end.
    phases
        The epoch at which each call of `train` began.
    kept
        The epoch whose weights each call kept.
    """

    metric: str = "accuracy"
    train_loss: list[float] = field(default_factory=list)
    train_score: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_score: list[float] = field(default_factory=list)
    chosen_by: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    phases: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.train_loss)

    @property
    def train_accuracy(self) -> list[float]:
        """`train_score` of a classifier; empty for others."""
        return self.train_score if self.metric == "accuracy" else []

    @property
    def validation_accuracy(self) -> list[float]:
        """`validation_score` of a classifier; empty for others."""
        return self.validation_score if self.metric == "accuracy" else []

    def series(self) -> dict[str, list[float]]:
        """Return every series by name, with the metric's in the place of `score`."""
        return {
            "train_loss": self.train_loss,
            f"train_{self.metric}": self.train_score,
            "validation_loss": self.validation_loss,
            f"validation_{self.metric}": self.validation_score,
            "lr": self.lr,
        }

    def last(self) -> dict[str, float]:
        """Return the last epoch's numbers by name; of a series that is empty, none."""
        return {name: values[-1] for name, values in self.series().items() if values}

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it: the series by name, and `phases` and `kept`."""
        return {**self.series(), "phases": self.phases, "kept": self.kept}

    def line(self) -> str:
        """Say in a line how the last phase ended."""
        epoch, first = self.kept[-1], self.phases[-1]
        parts = [f"epoch {epoch - first + 1} of {len(self) - first} kept: loss {self.train_loss[epoch]:.4f}"]
        parts.append(f"{self.metric} {self.train_score[epoch]:.3f}")
        if self.validation_loss:
            told = f"{self.metric} {self.validation_score[epoch]:.3f}"
            parts.append(f"evaluation loss {self.validation_loss[epoch]:.4f}, {told}")
        return ", ".join(parts)


class FollowedLoss:
    """A loss that also notes what the batches it sees were answered, for the epoch's score.

    Parameters
    ----------
    loss
        Of outputs and targets.
    objective
        What the outputs say.
    """

    def __init__(self, loss: Loss, objective: Objective) -> None:
        self._loss, self._objective = loss, objective
        self._seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor, /) -> torch.Tensor:
        """Return losses `[b]`, and take note."""
        self._seen.append((self._objective.brief(outputs.detach()), targets))
        return self._loss(outputs, targets)

    def plain(self) -> Loss:
        """Return the loss by which validation is judged."""
        return self._loss.plain()

    def score(self) -> float:
        """Return the score of what was seen since the last time, and begin again."""
        answered, true = (torch.cat(part).cpu().numpy() for part in zip(*self._seen, strict=True))
        self._seen = []
        return self._objective.follow(answered, true)


class Judge:
    """Scores an epoch's outputs for the evaluation data, and keeps the scores that a history follows.

    Parameters
    ----------
    objective
        What the outputs say.
    loss
        By which `metric` `loss` chooses.
    y, weight
        The targets, and what each sample weighs `[n]`.
    metric
        What the best epoch is chosen by.
    """

    def __init__(self, objective: Objective, loss: Loss, y: torch.Tensor, weight: torch.Tensor, metric: str) -> None:
        self.objective, self.loss, self.metric = objective, loss.plain(), metric
        self.y, self.weight = y, weight
        self.true: np.ndarray = y.cpu().numpy()
        self.followed: list[float] = []

    def __call__(self, outputs: torch.Tensor) -> float:
        """Return what the epoch `[n, c]` is chosen by, larger is better."""
        objective = self.objective
        self.followed.append(objective.follow(objective.brief(outputs).cpu().numpy(), self.true))
        if self.metric == objective.followed():
            return self.followed[-1]
        if self.metric == "loss":
            return -float((self.loss(outputs, self.y) * self.weight).mean())
        return objective.score(self.true, outputs.float().cpu().numpy(), self.metric)


class Watcher(Callback):
    """Puts every epoch of the training loop in a trainer's history, and tells others.

    Parameters
    ----------
    history
        Goes on.
    loss
        Which notes what the training answers.
    judge
        Of the evaluation data, if there are any.
    tell
        Told every epoch's number and numbers by name.
    """

    def __init__(
        self,
        history: TrainerHistory,
        loss: FollowedLoss,
        judge: Judge | None,
        tell: Callable[[int, dict[str, float]], None],
    ) -> None:
        self.tell = tell
        self.history = history
        self.loss = loss
        self.judge = judge
        self.first = len(history)
        history.phases.append(self.first)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Note the epoch."""
        history, told = self.history, state.history
        history.train_loss.append(told.train_loss[-1])
        history.train_score.append(self.loss.score())
        if self.judge is not None:
            history.validation_loss.append(told.validation_loss[-1])
            history.validation_score.append(self.judge.followed[-1])
            history.chosen_by.append(told.score[-1])
        history.lr.append(told.lr[-1])
        self.tell(len(history) - 1, history.last())

    def on_train_end(self, state: TrainingState) -> None:
        """Note which epoch's weights were kept."""
        self.history.kept.append(self.first + state.history.best_epoch)
