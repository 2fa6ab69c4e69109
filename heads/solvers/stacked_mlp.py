"""Many multi-layer perceptrons trained side by side: one pass over the data for all of them.

Members see the batches, the initial weights and the dropout that they would see alone, so that each ends where it would end
alone, but for rounding. Those that stop early, or whose loss is no number any more, leave the stack.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn

from heads.solvers.stacked_layers import Layers, Member, StackData, StackedLayers, draw_layers

AT_ONCE = 8192


@dataclass(frozen=True)
class Schedule:
    """What members of a stack share: samples a batch, most epochs, and how many in a row may bring no lower loss."""

    batch_size: int
    max_epochs: int
    patience: int


@dataclass
class Trained:
    """A member after training.

    Attributes
    ----------
    layers
        Weight and bias of each layer, those of the lowest validation loss.
    train_loss, validation_loss, lr
        By epoch; the learning rate after it.
    best_epoch, best_loss
        The epoch, from 0, whose weights these are, and its validation loss.
    lost
        Whether its loss became something else than a number, in the last epoch of `train_loss`.
    """

    layers: Layers = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = math.inf
    lost: bool = False

    def watch(self, epoch: int, validation_loss: float | None, patience: int, layers: Callable[[], Layers]) -> bool:
        """Take note of an epoch, and of the weights that `layers` gives if none were better; return whether to go on."""
        if not math.isfinite(self.train_loss[-1]):
            self.lost = True
            return False
        if validation_loss is None:
            self.best_epoch = epoch
            return True
        self.validation_loss.append(validation_loss)
        if validation_loss < self.best_loss:
            self.best_loss, self.best_epoch, self.layers = validation_loss, epoch, layers()
            return True
        if epoch - self.best_epoch < patience:
            return True
        self.layers = self.layers or layers()
        return False


def train_stack(
    members: Sequence[Member], data: StackData, validation: StackData | None, classes: int, schedule: Schedule, seed: int
) -> list[Trained]:
    """Train all members on the same data, with AdamW along a cosine and early stopping, as `heads.training` trains one.

    Parameters
    ----------
    members
        What to train.
    data, validation
        What to fit and what to watch; without the latter all epochs run.
    classes
        Width of the logits.
    schedule, seed
        How to train, and what fixes weights, batches and dropout.
    """
    with torch.inference_mode():
        return _train(members, data, validation, classes, schedule, seed)


def _train(
    members: Sequence[Member], data: StackData, validation: StackData | None, classes: int, schedule: Schedule, seed: int
) -> list[Trained]:
    trained = [Trained() for _ in members]
    left = sorted(range(len(members)), key=lambda number: members[number])
    width, count = data.X.shape[1], len(data.y)
    stack = StackedLayers.start([members[number] for number in left], width, classes, seed, data.X)
    dropout = _Dropout(stack, seed, data.X)
    batches = math.ceil(count / schedule.batch_size)
    steps, step = batches * schedule.max_epochs, 0
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(schedule.max_epochs):
        total = torch.zeros(len(left), dtype=data.X.dtype, device=data.X.device)
        for rows in torch.randperm(count, generator=generator).to(data.X.device).split(schedule.batch_size):
            total += stack.step(data[rows], dropout.draw(stack, len(rows)), _share(step, steps)) * len(rows)
            step += 1
        watched = [None] * len(left) if validation is None else stack.losses(validation).tolist()
        stay = []
        for place, (number, loss) in enumerate(zip(left, (total / count).tolist(), strict=True)):
            one = trained[number]
            one.train_loss.append(loss)
            one.lr.append(members[number].lr * _share(step, steps))
            if one.watch(epoch, watched[place], schedule.patience, partial(stack.layers, place)):
                stay.append(place)
        if len(stay) < len(left):
            left = [left[place] for place in stay]
            if not left:
                break
            stack = stack.keep(stay)
    for place, number in enumerate(left):
        trained[number].layers = trained[number].layers or stack.layers(place)
    return trained


def predict(layers: Layers, X: torch.Tensor) -> torch.Tensor:
    """Return the most probable classes' codes `[n]` for features `[n, d]`."""
    best = []
    for part in X.split(AT_ONCE):
        found = part
        for number, (weight, bias) in enumerate(layers):
            found = nn.functional.linear(found if number == 0 else found.relu_(), weight, bias)
        best.append(found.argmax(dim=1))
    return torch.cat(best)


class _Dropout:
    """Draws for every member what dropout would draw for it alone; members with the same hidden layers and dropout share it."""

    def __init__(self, stack: StackedLayers, seed: int, like: torch.Tensor) -> None:
        self.like = like
        self.generators = {
            (member.hidden, member.dropout): draw_layers(member.hidden, stack.width, stack.classes, seed, like)[1]
            for member in stack.members
            if member.dropout
        }

    def draw(self, stack: StackedLayers, samples: int) -> list[list[torch.Tensor]]:
        """Return masks `[units, b]` for every block, by layer and by dropout in it."""
        return [
            [self._mask(block.hidden, dropout, samples, width) for width in block.hidden for dropout, _ in block.dropped]
            for block in stack.blocks
        ]

    def _mask(self, hidden: tuple[int, ...], dropout: float, samples: int, width: int) -> torch.Tensor:
        drawn = torch.empty(samples, width, dtype=self.like.dtype, device=self.like.device)
        drawn.bernoulli_(1 - dropout, generator=self.generators[hidden, dropout])
        return drawn.mul_(1 / (1 - dropout)).t().contiguous()


def _share(step: int, steps: int) -> float:
    """Return the cosine schedule's share of the learning rate."""
    return (1 + math.cos(math.pi * step / steps)) / 2
