"""Optimizers and learning-rate schedules by name; all of them torch's own."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.optim import lr_scheduler

OPTIMIZERS = ("adamw", "sgd", "lbfgs")
SCHEDULES = ("constant", "cosine", "linear", "one_cycle", "plateau", "step")
BY_EPOCH = ("plateau", "step")


def make_optimizer(
    name: str,
    parameters: Iterable[torch.nn.Parameter | Mapping[str, Any]],
    lr: float,
    weight_decay: float,
    momentum: float,
    many: bool = False,
) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov and Hutter 2019), SGD with Nesterov's momentum, or L-BFGS with a strong Wolfe line search.

    For `many` parameters, such as a backbone's, AdamW takes its step in one pass over them, where torch has that.
    """
    if name == "adamw":
        parameters = list(parameters)
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=(many and _can_fuse(parameters)) or None)
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=lr, weight_decay=weight_decay, momentum=momentum, nesterov=momentum > 0)
    return torch.optim.LBFGS(parameters, lr=lr, max_iter=20, history_size=20, line_search_fn="strong_wolfe")


def _can_fuse(parameters: list[torch.nn.Parameter | Mapping[str, Any]]) -> bool:
    tensors = [p for entry in parameters for p in (entry["params"] if isinstance(entry, Mapping) else [entry])]
    return all(tensor.device.type in ("cpu", "cuda") and tensor.dtype == torch.float32 for tensor in tensors)


def make_schedule(name: str, optimizer: torch.optim.Optimizer, steps: int, warmup: float, factor: float, every: int) -> Any:
    """Return a schedule.

    Parameters
    ----------
    name
        `constant`; `cosine` and `linear`, which fall to zero; `one_cycle` (Smith and Topin 2018); `step`, times `factor` after
        every so many epochs; `plateau`, times `factor` after so many epochs without a better validation.
    optimizer
        Whose learning rate is the highest.
    steps
        Steps of the whole training. Those of `step` and `plateau` are epochs.
    warmup
        Share of the steps in which the rate rises from near zero, before the schedule begins.
    """
    if name == "plateau":
        return lr_scheduler.ReduceLROnPlateau(optimizer, factor=factor, patience=every)
    if name == "step":
        return lr_scheduler.StepLR(optimizer, step_size=every, gamma=factor)
    if name == "one_cycle":
        highest = [group["lr"] for group in optimizer.param_groups]
        momentum = any("momentum" in group or "betas" in group for group in optimizer.param_groups)
        return lr_scheduler.OneCycleLR(
            optimizer, highest, total_steps=max(steps, 2) + 1, pct_start=warmup or 0.3, cycle_momentum=momentum
        )
    rising = int(steps * warmup)
    rest = max(steps - rising, 1)
    falling: lr_scheduler.LRScheduler
    if name == "cosine":
        falling = lr_scheduler.CosineAnnealingLR(optimizer, T_max=rest)
    elif name == "linear":
        falling = lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=rest)
    else:
        falling = lr_scheduler.ConstantLR(optimizer, factor=1.0)
    if rising == 0:
        return falling
    rise = lr_scheduler.LinearLR(optimizer, start_factor=1 / (rising + 1), total_iters=rising)
    return lr_scheduler.SequentialLR(optimizer, [rise, falling], milestones=[rising])
