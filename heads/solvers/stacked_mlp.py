"""Many multi-layer perceptrons trained side by side: one pass over the data for all of them.

Members with the same layers and dropout form a *block*, whose weights are stacked: the first layers of a block are one matrix
product with the batch, the others a batched one. Members see the batches, the initial weights and the dropout that they
would see alone, so that each ends where it would end alone, but for rounding. Those that stop early leave the stack.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import nn
from torch.optim.adamw import adamw

BETAS, EPSILON = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class Member:
    """One perceptron of a stack.

    Attributes
    ----------
    hidden
        Widths of its hidden layers.
    dropout, lr, weight_decay
        Its settings.
    """

    hidden: tuple[int, ...]
    dropout: float
    lr: float
    weight_decay: float


@dataclass(frozen=True)
class Schedule:
    """What members of a stack share: samples a batch, most epochs, and how many in a row may bring no lower loss."""

    batch_size: int
    max_epochs: int
    patience: int


@dataclass(frozen=True)
class StackData:
    """Features `[n, d]`, class codes `[n]` and weights `[n]`, on one device."""

    X: torch.Tensor
    y: torch.Tensor
    weight: torch.Tensor


@dataclass
class Trained:
    """A member after training.

    Attributes
    ----------
    weights
        Weight and bias of each layer, those of the lowest validation loss.
    train_loss, validation_loss, lr
        By epoch; the learning rate after it.
    best_epoch
        The epoch, from 0, whose weights these are.
    """

    weights: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    best_epoch: int = 0


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
    trained = [Trained() for _ in members]
    blocks = [
        _Block(layout, numbers, members, data.X, classes, seed, validation is not None)
        for layout, numbers in _by_layout(members).items()
    ]
    steps, step = math.ceil(len(data.y) / schedule.batch_size) * schedule.max_epochs, 0
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(schedule.max_epochs):
        totals = [torch.zeros(len(block.numbers), dtype=data.X.dtype, device=data.X.device) for block in blocks]
        for rows in torch.randperm(len(data.y), generator=generator).to(data.X.device).split(schedule.batch_size):
            batch = StackData(data.X[rows], data.y[rows], data.weight[rows])
            share = _share(step, steps)
            for place, block in enumerate(blocks):
                totals[place] += block.step(batch, share) * len(rows)
            step += 1
        for block, total in zip(blocks, totals, strict=True):
            for number, loss in zip(block.numbers, (total / len(data.y)).tolist(), strict=True):
                trained[number].train_loss.append(loss)
                trained[number].lr.append(members[number].lr * _share(step, steps))
                trained[number].best_epoch = trained[number].best_epoch if validation is not None else epoch
            if validation is not None:
                block.validate(validation, epoch, trained, schedule.patience)
        blocks = [block for block in blocks if block.numbers]
        if not blocks:
            break
    for block in blocks:
        block.finish(trained)
    return trained


def stacked_logits(weights: Sequence[Sequence[tuple[torch.Tensor, torch.Tensor]]], X: torch.Tensor) -> torch.Tensor:
    """Return logits `[k, n, c]` of `k` perceptrons with the same layers for features `[n, d]`."""
    layers = [(torch.stack([w for w, _ in layer]), torch.stack([b for _, b in layer])) for layer in zip(*weights, strict=True)]
    return _forward(layers, X, [])


def _share(step: int, steps: int) -> float:
    """Return the cosine schedule's share of the learning rate."""
    return (1 + math.cos(math.pi * step / steps)) / 2


def _by_layout(members: Sequence[Member]) -> dict[tuple[tuple[int, ...], float], list[int]]:
    """Return layers and dropout -> numbers of the members that have them, ordered by their learning rates and decays."""
    order = sorted(
        range(len(members)), key=lambda n: (members[n].hidden, members[n].dropout, members[n].lr, members[n].weight_decay)
    )
    layouts: dict[tuple[tuple[int, ...], float], list[int]] = {}
    for number in order:
        layouts.setdefault((members[number].hidden, members[number].dropout), []).append(number)
    return layouts


def _forward(
    layers: Sequence[tuple[torch.Tensor, torch.Tensor]], X: torch.Tensor, masks: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Return logits `[k, b, c]` of weights `[k, out, in]` and biases `[k, out]` for `[b, d]`; `masks` `[b, out]` drop units."""
    weight, bias = layers[0]
    count, width, _ = weight.shape
    found = nn.functional.linear(X, weight.flatten(0, 1), bias.flatten()).view(len(X), count, width).transpose(0, 1)
    for depth, (weight, bias) in enumerate(layers[1:]):
        hidden = found.relu()
        hidden = hidden * masks[depth] if masks else hidden
        found = torch.baddbmm(bias[:, None], hidden, weight.transpose(1, 2))
    return found


def _losses(logits: torch.Tensor, data: StackData) -> torch.Tensor:
    """Return the weighted mean cross-entropies `[k]` of logits `[k, b, c]`."""
    count, samples, _ = logits.shape
    losses = nn.functional.cross_entropy(logits.flatten(0, 1), data.y.repeat(count), reduction="none").view(count, samples)
    return (losses * data.weight).sum(dim=1) / data.weight.sum().clamp(min=1e-12)


class _Block:
    """Members with the same layers: their weights, AdamW's moments, and their best weights so far."""

    def __init__(
        self,
        layout: tuple[tuple[int, ...], float],
        numbers: list[int],
        members: Sequence[Member],
        like: torch.Tensor,
        classes: int,
        seed: int,
        watched: bool,
    ) -> None:
        (self.hidden, self.dropout), self.numbers = layout, numbers
        self.members = [members[number] for number in numbers]
        widths = [like.shape[1], *self.hidden, classes]
        self.random = torch.Generator(like.device)
        with torch.random.fork_rng(devices=[like.device] if like.device.type == "cuda" else []):
            torch.manual_seed(seed)
            linears = [nn.Linear(a, b) for a, b in pairwise(widths)]
            if like.device.type == "cuda":
                self.random.manual_seed(seed)
            else:
                self.random.set_state(torch.get_rng_state())
        self.tensors = [
            tensor.detach().to(like).expand(len(numbers), *tensor.shape).clone().requires_grad_()
            for linear in linears
            for tensor in (linear.weight, linear.bias)
        ]
        self.moments = [(torch.zeros_like(tensor), torch.zeros_like(tensor)) for tensor in self.tensors]
        self.steps = 0
        self.best = [tensor.detach().clone() for tensor in self.tensors] if watched else []
        self.best_loss = torch.full((len(numbers),), math.inf)

    @property
    def layers(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Weights and biases, layer by layer."""
        return list(zip(self.tensors[::2], self.tensors[1::2], strict=True))

    def step(self, batch: StackData, share: float) -> torch.Tensor:
        """Take one step on a batch with a share of the learning rates; return the losses `[k]` before it."""
        masks = [self._mask(len(batch.y), width, batch.X) for width in self.hidden] if self.dropout else []
        losses = _losses(_forward(self.layers, batch.X, masks), batch)
        gradients = [gradient.contiguous() for gradient in torch.autograd.grad(losses.sum(), self.tensors)]
        with torch.no_grad():
            for rows, lr, decay in self._rates():
                count = torch.tensor(float(self.steps))
                adamw(
                    [tensor[rows] for tensor in self.tensors],
                    [gradient[rows] for gradient in gradients],
                    [mean[rows] for mean, _ in self.moments],
                    [square[rows] for _, square in self.moments],
                    [],
                    [count.clone() for _ in self.tensors],
                    fused=True,
                    amsgrad=False,
                    beta1=BETAS[0],
                    beta2=BETAS[1],
                    lr=lr * share,
                    weight_decay=decay,
                    eps=EPSILON,
                    maximize=False,
                )
        self.steps += 1
        return losses.detach()

    def validate(self, data: StackData, epoch: int, trained: list[Trained], patience: int) -> None:
        """Judge the members, keep the weights of those that have improved, and let go those that have not for too long."""
        with torch.inference_mode():
            losses = _losses(_forward(self.layers, data.X, []), data).cpu()
        improved = losses < self.best_loss
        self.best_loss = torch.where(improved, losses, self.best_loss)
        for best, tensor in zip(self.best, self.tensors, strict=True):
            best[improved] = tensor.detach()[improved]
        stopped = []
        for place, number in enumerate(self.numbers):
            one = trained[number]
            one.validation_loss.append(float(losses[place]))
            if improved[place]:
                one.best_epoch = epoch
            elif epoch - one.best_epoch >= patience:
                stopped.append(place)
        self._release(stopped, trained)

    def finish(self, trained: list[Trained]) -> None:
        """Hand out the weights of all members that are left."""
        self._release(range(len(self.numbers)), trained)

    def _release(self, places: Sequence[int], trained: list[Trained]) -> None:
        if not places:
            return
        kept_weights = self.best or [tensor.detach() for tensor in self.tensors]
        for place in places:
            flat = [tensor[place].clone() for tensor in kept_weights]
            trained[self.numbers[place]].weights = list(zip(flat[::2], flat[1::2], strict=True))
        stay = [place for place in range(len(self.numbers)) if place not in set(places)]
        self.numbers, self.members = [self.numbers[p] for p in stay], [self.members[p] for p in stay]
        self.tensors = [tensor.detach()[stay].requires_grad_() for tensor in self.tensors]
        self.moments = [(mean[stay], square[stay]) for mean, square in self.moments]
        self.best, self.best_loss = [tensor[stay] for tensor in self.best], self.best_loss[stay]

    def _rates(self) -> list[tuple[slice, float, float]]:
        """Return runs of members with the same learning rate and decay."""
        runs: list[tuple[slice, float, float]] = []
        for place, member in enumerate(self.members):
            if runs and runs[-1][1:] == (member.lr, member.weight_decay):
                runs[-1] = (slice(runs[-1][0].start, place + 1), member.lr, member.weight_decay)
            else:
                runs.append((slice(place, place + 1), member.lr, member.weight_decay))
        return runs

    def _mask(self, samples: int, width: int, like: torch.Tensor) -> torch.Tensor:
        """Draw as dropout would for a member alone; members with the same layers, alone, draw the same."""
        kept = torch.empty(samples, width, dtype=like.dtype, device=like.device).bernoulli_(
            1 - self.dropout, generator=self.random
        )
        return kept / (1 - self.dropout) if self.dropout < 1 else kept
