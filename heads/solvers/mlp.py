"""The engine of the MLP head: all trials that see the same batches are trained in one stack, fold by fold."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils import check_random_state, compute_sample_weight
from sklearn.utils.validation import _check_feature_names, _check_n_features

from heads.callbacks import History
from heads.devices import run_on, training_device
from heads.held_out import choose_held_out
from heads.limits import is_allowed
from heads.mlp import MLPHead
from heads.scaling import fit_scaling
from heads.solvers.engine import FoldTask, Solved
from heads.solvers.stacked_layers import AT_ONCE, Member, StackData, count_numbers
from heads.solvers.stacked_mlp import Schedule, Trained, predict, train_stack
from heads.training import lost_training

MEMBER = ("hidden", "dropout", "lr", "weight_decay")
"""Settings that may differ within a stack."""
SHARED = ("batch_size", "max_epochs", "patience", "validation_fraction", "class_weight", "device", "random_state")
"""Settings that decide which batches a trial sees: trials that share them are one stack."""
MEMORY_LIMIT = 2 * 2**30
"""Bytes that a stack's numbers and activations may take; more trials than that are trained in several stacks."""


class MLPEngine:
    """Trains `MLPHead` trials together; each ends where it would end alone, but for rounding."""

    def takes(self, head: MLPHead, task: FoldTask) -> bool:
        """Whether all parameters are ones that a stack knows, and their values usable."""
        named = set(head.class_weight) if isinstance(head.class_weight, dict) else set()
        return (
            task.single
            and _others_are_default(head)
            and is_allowed(head)
            and head.patience < np.inf
            and head.validation_fraction < 0.9
            and isinstance(head.random_state, Integral)
            and all(named <= set(task.classes[list(found)].tolist()) for found in task.fold_classes)
        )

    def solve(self, heads: Sequence[MLPHead], task: FoldTask) -> Iterator[tuple[int, list[Solved]]]:
        """Fit every head on every fold, stack by stack."""
        stacks: dict[str, list[int]] = {}
        for number, head in enumerate(heads):
            stacks.setdefault(repr([getattr(head, name) for name in SHARED]), []).append(number)
        for numbers in (part for whole in stacks.values() for part in _split(whole, heads, task)):
            chosen = [heads[number] for number in numbers]
            device = training_device(chosen[0].device)
            by_fold = [run_on(device, partial(_fit_fold, chosen, fold, task)) for fold in range(len(task.folds))]
            for at, number in enumerate(numbers):
                yield number, [solved[at] for solved in by_fold]


def _others_are_default(head: MLPHead) -> bool:
    """Whether nothing is asked for of the training, or of the layers, that a stack does not do."""
    defaults = MLPHead().get_params()
    others = {name: value for name, value in head.get_params().items() if name not in {*MEMBER, *SHARED}}
    return all(name in defaults and value == defaults[name] for name, value in others.items())


def _fit_fold(heads: Sequence[MLPHead], fold: int, task: FoldTask, device: torch.device) -> list[Solved]:
    """Train heads that share their batches on one fold."""
    head, (train, test) = heads[0], task.folds[fold]
    X, present = task.features[train], np.array(task.fold_classes[fold])
    codes = np.searchsorted(present, task.codes[train])
    weight = np.ones(len(train), X.dtype) if task.weight is None else task.weight[train].astype(X.dtype)
    if head.class_weight is not None:
        weight = weight * compute_sample_weight(head.class_weight, task.classes[task.codes[train]]).astype(X.dtype)
    scaling = fit_scaling(X, weight)
    mean, scale = scaling.mean, scaling.scale
    seed = int(check_random_state(head.random_state).randint(2**31 - 1))
    groups = None if task.groups is None else task.groups[train]
    held_out = choose_held_out(len(codes), codes, groups, head.validation_fraction, seed)
    X = (X - mean) / scale

    def data(rows: np.ndarray) -> StackData:
        return StackData(*(torch.as_tensor(array[rows], device=device) for array in (X, codes, weight)))

    members = [_member(head) for head in heads]
    schedule = Schedule(int(head.batch_size), int(head.max_epochs), int(head.patience))
    validation = data(held_out) if held_out.any() else None
    trained = train_stack(members, data(~held_out), validation, len(present), schedule, seed)
    tested = torch.as_tensor((task.features[test].astype(X.dtype) - mean) / scale, device=device)
    build = partial(_fitted, task=task, classes=task.classes[present], mean=mean, scale=scale)
    return [_solved(head, one, tested, present, partial(build, head, one)) for head, one in zip(heads, trained, strict=True)]


def _solved(head: MLPHead, one: Trained, X: torch.Tensor, present: np.ndarray, build: Callable[[], MLPHead]) -> Solved:
    if one.lost:
        return Solved(np.zeros(0, int), build, lost_training(one.train_loss[-1], len(one.train_loss) - 1))
    return Solved(present[predict(one.layers, X).cpu().numpy()], build)


def _member(head: MLPHead) -> Member:
    return Member(_widths(head.hidden), float(head.dropout), float(head.lr), float(head.weight_decay))


def _split(numbers: Sequence[int], heads: Sequence[MLPHead], task: FoldTask) -> Iterator[list[int]]:
    """Give the trials of a stack in parts that keep within the limit, or alone."""
    samples, width = task.features.shape
    part: list[int] = []
    taken = 0
    for number in numbers:
        member = _member(heads[number])
        rows = max(min(int(heads[number].batch_size), samples), min(AT_ONCE, samples))
        # numbers, gradients, two moments, the best so far and a copy while members leave; units before and after, and slopes
        held = 6 * count_numbers([member], width, len(task.classes)) + 3 * rows * (sum(member.hidden) + len(task.classes))
        needed = held * task.features.itemsize
        if part and taken + needed > MEMORY_LIMIT:
            yield part
            part, taken = [], 0
        part.append(number)
        taken += needed
    yield part


def _fitted(
    head: MLPHead, trained: Trained, *, task: FoldTask, classes: np.ndarray, mean: np.ndarray, scale: np.ndarray
) -> MLPHead:
    """Build the head that `fit` would leave behind."""
    head = clone(head)
    _check_feature_names(head, task.X, reset=True)
    _check_n_features(head, task.X, reset=True)
    head.classes_, head.mean_, head.scale_ = classes, mean, scale
    weight = trained.layers[0][0]
    with torch.random.fork_rng():
        head.module_ = head._build().to(weight.device, weight.dtype)
    flat = [tensor for layer in trained.layers for tensor in layer]
    head.module_.load_state_dict(dict(zip(head.module_.state_dict(), flat, strict=True)))
    head.module_.eval()
    head.multilabel_, head.callbacks_ = False, []
    head.history_ = History(trained.train_loss, trained.validation_loss, lr=trained.lr, best_epoch=trained.best_epoch)
    head.n_iter_ = len(trained.train_loss)
    return head


def _widths(hidden: Any) -> tuple[Any, ...]:
    return (hidden,) if isinstance(hidden, Integral) else tuple(hidden) if isinstance(hidden, Sequence) else (None,)
