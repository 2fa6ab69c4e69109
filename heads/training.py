"""The training loop: features stay on the device as one tensor, batches are index vectors, the best weights are kept."""

import copy
import math
from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass(frozen=True)
class TrainingPlan:
    """How to train.

    Attributes
    ----------
    lr, weight_decay
        AdamW's peak learning rate and decoupled weight decay (Loshchilov and Hutter 2019).
    batch_size, max_epochs
        Samples a step; most passes over the data. The learning rate falls to zero along a cosine over all of them.
    patience
        Epochs without a lower validation loss after which training stops.
    """

    lr: float
    weight_decay: float
    batch_size: int
    max_epochs: int
    patience: int


@dataclass
class History:
    """Losses by epoch, and the epoch (from 0) whose weights were kept."""

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    best_epoch: int = 0


@dataclass(frozen=True)
class Data:
    """Features `[n, d]`, class codes `[n]` and weights `[n]`, on one device."""

    X: torch.Tensor
    y: torch.Tensor
    weight: torch.Tensor

    def loss(self, model: nn.Module, rows: torch.Tensor | slice = slice(None)) -> torch.Tensor:
        """Return the weighted mean cross-entropy of some rows."""
        losses = nn.functional.cross_entropy(model(self.X[rows]), self.y[rows], reduction="none")
        weight = self.weight[rows]
        return (losses * weight).sum() / weight.sum().clamp(min=1e-12)


def train(model: nn.Module, data: Data, validation: Data | None, plan: TrainingPlan, seed: int) -> History:
    """Train a model in place and leave it with its best weights.

    With validation data the best weights are those of the lowest validation loss, and training stops early; without,
    all epochs run and the last weights stay. Repeatable bit for bit on a CPU for the same seed.

    Parameters
    ----------
    model
        `[b, d]` -> logits `[b, c]`, on the data's device.
    data, validation
        What to fit and what to watch.
    plan
        How to train.
    seed
        Fixes the order of the batches.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.lr, weight_decay=plan.weight_decay)
    steps = math.ceil(len(data.y) / plan.batch_size) * plan.max_epochs
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(steps, 1))
    generator = torch.Generator().manual_seed(seed)
    history = History()
    best_weights, best_loss = None, math.inf
    for epoch in range(plan.max_epochs):
        history.train_loss.append(_epoch(model, data, plan.batch_size, generator, optimizer, scheduler))
        if validation is None:
            history.best_epoch = epoch
            continue
        loss = _evaluate(model, validation)
        history.validation_loss.append(loss)
        if loss < best_loss:
            best_loss, history.best_epoch = loss, epoch
            best_weights = copy.deepcopy(model.state_dict())
        elif epoch - history.best_epoch >= plan.patience:
            break
    if best_weights is not None:
        model.load_state_dict(best_weights)
    model.eval()
    return history


def _epoch(
    model: nn.Module,
    data: Data,
    batch_size: int,
    generator: torch.Generator,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    model.train()
    total = torch.zeros((), device=data.X.device)
    for rows in torch.randperm(len(data.y), generator=generator).to(data.X.device).split(batch_size):
        loss = data.loss(model, rows)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()
        total += loss.detach() * len(rows)
    return float(total) / len(data.y)


def _evaluate(model: nn.Module, data: Data) -> float:
    model.eval()
    with torch.inference_mode():
        return float(data.loss(model))
