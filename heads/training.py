"""The training loop: features stay on the device, batches are index vectors, the best weights are kept."""

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from heads.batches import Batches, Part, Rows
from heads.callbacks import Callback, History, TrainingState
from heads.checkpoints import load_checkpoint, save_checkpoint
from heads.losses import Loss, mixed
from heads.plan import TrainingPlan
from heads.schedules import BY_EPOCH, make_optimizer, make_schedule

Batch = tuple[torch.Tensor, Part]
_LONE = "Expected more than 1 value per channel"
"""What torch says where a batch of one sample is to be normalised."""
Groups = Sequence[Mapping[str, Any]]
"""Parameters with settings of their own, as torch's optimizers take them: `{"params": [...], "lr": 1e-5}`."""


@dataclass(frozen=True)
class Data:
    """Features, targets `[n]` or `[n, c]`, and weights `[n]`; the last two on the features' device."""

    features: Batches
    y: torch.Tensor
    weight: torch.Tensor

    def __len__(self) -> int:
        return len(self.y)


def train(
    model: nn.Module,
    data: Data,
    validation: Data | None,
    plan: TrainingPlan,
    loss: Loss,
    seed: int,
    score: Callable[[torch.Tensor], float] | None = None,
    callbacks: Sequence[Callback] = (),
    fingerprint: str = "",
    groups: Groups | None = None,
) -> History:
    """Train a model in place and leave it with its best weights.

    With validation data the best weights are those of the best score, of equal scores those with the lowest validation loss, or
    without a score those with the lowest loss; training stops early once the score has not risen for a while. Without such data
    all epochs run and the last weights stay. Repeatable bit for bit on a CPU for the same seed.

    Parameters
    ----------
    model
        `[b, d]`, or tokens `[b, t, d]` and their mask `[b, t]`, -> outputs `[b, c]`; on the data's device.
    data, validation
        What to fit and what to watch.
    plan, loss
        How to train, and towards what.
    seed
        Fixes the order of the batches, mixup and which views are drawn.
    score
        Judges the outputs `[n, c]` for the validation data; larger is better.
    callbacks
        Told what happens.
    fingerprint
        Tells this training from others, for its checkpoint.
    groups
        Learning rates of parts of the model; by default every parameter that takes a gradient learns at the plan's.

    Raises
    ------
    FloatingPointError
        If the loss is no number any more.
    """
    return _Training(model, data, validation, plan, loss, seed, score, callbacks, fingerprint, groups).run()


def lost_training(loss: float, epoch: int) -> FloatingPointError:
    """Return the error of a training whose loss is no number any more."""
    return FloatingPointError(f"the loss is {loss} in epoch {epoch}; lower `lr` or set `clip_norm`")


def outputs(model: nn.Module, features: Batches) -> torch.Tensor:
    """Return a model's outputs `[n, c]`; those of a sample's views are averaged."""
    model.eval()
    with torch.inference_mode():
        return torch.cat([_all_views(model, part) for part in features.in_order()])


def _all_views(model: nn.Module, part: Part) -> torch.Tensor:
    if isinstance(part, Rows) and part.X.ndim == 3:
        views = part.X.shape[1]
        averaged: torch.Tensor = model(part.X.flatten(0, 1)).unflatten(0, (-1, views)).mean(dim=1)
        return averaged
    found: torch.Tensor = model(*part.inputs())
    return found


class _Training:
    def __init__(
        self,
        model: nn.Module,
        data: Data,
        validation: Data | None,
        plan: TrainingPlan,
        loss: Loss,
        seed: int,
        score: Callable[[torch.Tensor], float] | None,
        callbacks: Sequence[Callback],
        fingerprint: str,
        groups: Groups | None,
    ) -> None:
        self.model, self.data, self.validation, self.plan, self.loss = model, data, validation, plan, loss
        self.score, self.callbacks, self.fingerprint = score, callbacks, fingerprint
        self.plain_loss = loss.plain()
        self.trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        learning = groups or self.trainable
        optimizer = make_optimizer(plan.optimizer, learning, plan.lr, plan.weight_decay, plan.momentum, groups is not None)
        samples_a_step = len(data) if plan.optimizer == "lbfgs" else plan.batch_size * plan.accumulate
        steps = math.ceil(len(data) / samples_a_step) * plan.max_epochs
        self.schedule = make_schedule(plan.schedule, optimizer, steps, plan.warmup, plan.factor, plan.every)
        self.generator = torch.Generator().manual_seed(seed)
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(plan.ema)) if plan.ema else None
        self.state = TrainingState(model, optimizer, History())
        self.best_weights: dict[str, torch.Tensor] | None = None
        self.best = -math.inf
        self.left_out: set[int] = set()
        self.risen = 0  # patience is counted from the first of equal best scores, wherever among them the loss is lowest

    @property
    def kept(self) -> nn.Module:
        """The model whose weights count: the one trained, or its moving average."""
        return self.model if self.average is None else self.average.module

    def run(self) -> History:
        first = self._resume()
        history = self.state.history
        self._tell("on_train_begin")
        for epoch in range(first, self.plan.max_epochs):
            self.state.epoch = epoch
            history.train_loss.append(self._epoch())
            if not math.isfinite(history.train_loss[-1]):
                raise lost_training(history.train_loss[-1], epoch)
            history.lr.append(float(self.state.optimizer.param_groups[0]["lr"]))
            self._validate(epoch)
            self._tell("on_epoch_end")
            if self.plan.checkpoint is not None:
                save_checkpoint(Path(self.plan.checkpoint), self._content())
            if self.state.stop:
                break
        self.model.load_state_dict(self.best_weights or self.kept.state_dict())
        self.model.eval()
        self._tell("on_train_end")
        return history

    def _epoch(self) -> float:
        self.model.train()
        total = torch.zeros((), device=self.data.weight.device)
        if self.plan.optimizer == "lbfgs":
            total += self._step(self._everything, self.data.weight.sum()) * len(self.data)
        else:
            for batches in self._steps():
                weight = torch.cat([self.data.weight[places] for places, _ in batches]).sum()
                samples = sum(len(places) for places, _ in batches)
                total += self._step(lambda batches=batches: batches, weight) * samples  # type: ignore[misc]
        if self.plan.schedule == "step":
            self.schedule.step()
        return float(total) / self._count_taken()

    def _count_taken(self) -> int:
        """Count the epoch's samples but for one that was a batch of its own, which batch normalisation cannot take."""
        left_out = len(self.left_out)
        self.left_out.clear()
        if left_out == len(self.data):
            raise ValueError("batch normalisation takes batches of two samples or more; raise `batch_size` (or `block_rows`)")
        return len(self.data) - left_out

    def _steps(self) -> Iterator[list[Batch]]:
        waiting: list[Batch] = []
        for batch in self.data.features.shuffled(self.plan.batch_size, self.generator):
            waiting.append(batch)
            if len(waiting) == self.plan.accumulate:
                yield waiting
                waiting = []
        if waiting:
            yield waiting

    def _everything(self) -> Iterator[Batch]:
        start = 0
        for part in self.data.features.in_order():
            *chunks, last = torch.arange(len(part)).split(self.plan.batch_size)
            if chunks and len(last) == 1:  # the order never changes, so it would never be a part of a larger one
                last = torch.cat([chunks.pop(), last])
            for rows in (*chunks, last):
                yield rows + start, part.take(rows)
            start += len(part)

    def _step(self, batches: Callable[[], Iterable[Batch]], weight: torch.Tensor) -> torch.Tensor:
        optimizer, total_weight = self.state.optimizer, weight.clamp(min=1e-12)
        first: list[torch.Tensor] = []

        def closure() -> torch.Tensor:
            optimizer.zero_grad(set_to_none=True)
            total = torch.zeros((), device=total_weight.device)
            for places, part in batches():
                try:
                    value = self._batch_loss(places, part) / total_weight
                except ValueError as error:
                    if len(places) > 1 or _LONE not in str(error):
                        raise
                    self.left_out.add(int(places[0]))
                    continue
                value.backward()
                total += value.detach()
            if self.plan.optimizer == "lbfgs" and self.plan.weight_decay:
                penalty = 0.5 * self.plan.weight_decay * torch.stack([(p**2).sum() for p in self.trainable]).sum()
                penalty.backward()
                total += penalty.detach()
            self._tell("on_gradients")
            if self.plan.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.trainable, self.plan.clip_norm)
            first.append(total)
            return total

        optimizer.step(closure)
        if self.plan.schedule not in BY_EPOCH:
            self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.state.step += 1
        return first[0]

    def _batch_loss(self, places: torch.Tensor, part: Part) -> torch.Tensor:
        places = places.to(self.data.weight.device)
        y, weight = self.data.y[places], self.data.weight[places]
        inputs = part.inputs()
        if isinstance(part, Rows) and part.X.ndim == 3:
            view = torch.randint(part.X.shape[1], (len(part),), generator=self.generator).to(part.X.device)
            inputs = (part.X[torch.arange(len(part), device=part.X.device), view],)
        if not self.plan.mixup:
            return (self.loss(self.model(*inputs), y) * weight).sum()
        if len(inputs) > 1:
            raise ValueError("`mixup` mixes vectors; tokens of different numbers cannot be mixed")
        features, partner, share = mixed(inputs[0], self.plan.mixup, self.generator)
        found = self.model(features)
        own, other = self.loss(found, y) * weight, self.loss(found, y[partner]) * weight[partner]
        return (share * own + (1 - share) * other).sum()

    def _validate(self, epoch: int) -> None:
        history = self.state.history
        if self.validation is None:
            history.best_epoch = epoch
            if self.plan.schedule == "plateau":
                self.schedule.step(history.train_loss[-1])
            return
        found = outputs(self.kept, self.validation.features)
        weight = self.validation.weight
        losses = self.plain_loss(found, self.validation.y) * weight
        history.validation_loss.append(float(losses.sum() / weight.sum().clamp(min=1e-12)))
        value = -history.validation_loss[-1]
        if self.score is not None:
            value = self.score(found)
            history.score.append(value)
        if self.plan.schedule == "plateau":
            self.schedule.step(-value)
        better = value > self.best
        if better or (value == self.best and history.validation_loss[-1] < history.validation_loss[history.best_epoch]):
            self.best, history.best_epoch = value, epoch
            self.best_weights = copy.deepcopy(self.kept.state_dict())
        if better:
            self.risen = epoch
        elif epoch - self.risen >= self.plan.patience:
            self.state.stop = True

    def _tell(self, hook: str) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(self.state)

    def _content(self) -> dict[str, Any]:
        device = self.data.weight.device
        return {
            "fingerprint": self.fingerprint,
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.state.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best_weights": self.best_weights,
            "best": self.best,
            "risen": self.risen,
            "history": dataclasses.asdict(self.state.history),
            "step": self.state.step,
            "stop": self.state.stop,
            "order": self.generator.get_state(),
            "random": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        }

    def _resume(self) -> int:
        """Go back to where a checkpoint of this training stands and return the epoch that comes next."""
        if self.plan.checkpoint is None:
            return 0
        device = self.data.weight.device
        content = load_checkpoint(Path(self.plan.checkpoint), self.fingerprint, device)
        if content is None:
            return 0
        self.model.load_state_dict(content["model"])
        if self.average is not None:
            self.average.load_state_dict(content["average"])
        self.state.optimizer.load_state_dict(content["optimizer"])
        self.schedule.load_state_dict(content["schedule"])
        self.best_weights, self.best = content["best_weights"], content["best"]
        self.state.history, self.state.step = History(**content["history"]), content["step"]
        self.risen = content.get("risen", self.state.history.best_epoch)  # the same in checkpoints that do not have it
        self.generator.set_state(content["order"].cpu())
        torch.set_rng_state(content["random"].cpu())
        if content["cuda"] is not None:
            torch.cuda.set_rng_state(content["cuda"].cpu(), device)
        done = len(self.state.history.train_loss)
        return self.plan.max_epochs if content["stop"] else done
