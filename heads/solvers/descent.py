"""Preconditioned L-BFGS on a stack of independent convex problems, which leave the stack as they converge."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import torch

from heads.solvers.curvature import Curvature

MEMORY = 12
FLATTEST, STIFFEST = 0.1, 10.0
"""The least and the most by which the model's inverse is scaled."""
SLOWEST, FASTEST = 0.95, 0.5
"""The largest and the smallest share of a promise that is taken to be left after a step."""
SUFFICIENT_DECREASE = 1e-4
SMALLEST_STEP = 1e-4
FALL_SHARE = 0.02


class Evaluation(NamedTuple):
    """Objectives `[b]` (float64) and gradients `[b, c, r]`."""

    value: torch.Tensor
    gradient: torch.Tensor


class Objective(Protocol):
    """A stack of problems."""

    @property
    def baseline(self) -> torch.Tensor:
        """For each problem the value `[b]` from which its decrease is measured."""
        ...

    def project(self, points: torch.Tensor) -> torch.Tensor:
        """Drop from points `[b, c, r]` what no minimum holds."""
        ...

    def __call__(self, problems: torch.Tensor, points: torch.Tensor) -> Evaluation:
        """Evaluate some problems (their numbers `[b]`) at points `[b, c, r]`."""
        ...


@dataclass
class _Pairs:
    """The last steps and changes of gradient of the problems in the stack."""

    steps: list[torch.Tensor]
    changes: list[torch.Tensor]

    def add(self, step: torch.Tensor, change: torch.Tensor) -> None:
        self.steps, self.changes = [*self.steps, step][-MEMORY:], [*self.changes, change][-MEMORY:]

    def take(self, kept: torch.Tensor) -> None:
        self.steps, self.changes = [s[kept] for s in self.steps], [c[kept] for c in self.changes]

    def direction(self, gradient: torch.Tensor, solve: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Apply the two-loop recursion (Nocedal 1980), with a model of the Hessian to `solve` for as the first guess."""
        towards, passed = -gradient, []
        for step, change in zip(reversed(self.steps), reversed(self.changes), strict=True):
            bend = _dot(step, change)
            scale = torch.where(bend > 0, 1 / bend, torch.zeros_like(bend))
            share = scale * _dot(step, towards)
            towards = towards - _spread(share) * change
            passed.append((share, scale))
        towards = solve(towards)
        if self.steps:  # where the model is too flat or too stiff, the last step has told by how much
            step, change = self.steps[-1], self.changes[-1]
            towards = towards * _spread(
                (_dot(step, change) / _dot(change, solve(change))).nan_to_num(1).clamp(FLATTEST, STIFFEST)
            )
        for (share, scale), step, change in zip(reversed(passed), self.steps, self.changes, strict=True):
            towards = towards + _spread(share - scale * _dot(change, towards)) * step
        return towards


@dataclass(frozen=True)
class Descent:
    """Where every problem ended.

    Attributes
    ----------
    points
        `[b, c, r]`.
    value
        `[b]`, float64.
    iterations
        `[b]`.
    converged
        `[b]`; False where the iterations ran out.
    """

    points: torch.Tensor
    value: torch.Tensor
    iterations: torch.Tensor
    converged: torch.Tensor


def minimise(
    objective: Objective,
    start: torch.Tensor,
    curvature: Curvature,
    gap: float,
    tolerance: torch.Tensor | None = None,
    max_iter: int = 1000,
    on_converged: Callable[[int], None] | None = None,
    known: Evaluation | None = None,
) -> Descent:
    """Minimise every problem of a stack from its own starting point.

    A problem is done when one more step will be enough: when the decreases that its model of the Hessian promises for the
    steps after the next, taken to shrink as the slower of the last two did, add up to less than `gap` of its objective, and
    to less than a share of `gap` of its objective's distance to the baseline. That step is taken without a look at what it
    brings.
    Where `tolerance` is not NaN, a problem is done when its gradient's norm is below that; and in any case when no step along
    its direction decreases it, which is as low as its arithmetic can tell.

    Parameters
    ----------
    objective
        The problems.
    start
        `[b, c, r]`.
    curvature
        Model of the Hessians about the starting points.
    gap
        Relative to the objective; `FALL_SHARE` of it to the distance to the baseline.
    tolerance
        `[b]`, NaN where the gap decides.
    max_iter
        Most iterations of a problem.
    on_converged
        Told how many problems have just left the stack.
    known
        The evaluation at `start`, where it is known.
    """
    count = len(start)
    points, values = start.clone(), torch.zeros(count, dtype=torch.float64, device=start.device)
    iterations = torch.zeros(count, dtype=torch.int64, device=start.device)
    converged = torch.zeros(count, dtype=torch.bool, device=start.device)
    active, point = torch.arange(count, device=start.device), start
    value, gradient = objective(active, point) if known is None else known
    promised, seen = torch.full_like(value, torch.nan), torch.zeros_like(value)
    pairs, stuck = _Pairs([], []), torch.zeros(count, dtype=torch.bool, device=start.device)
    for iteration in range(max_iter + 1):
        direction = pairs.direction(gradient, partial(_solve_model, objective, curvature, active))
        slope = _dot(gradient, direction).double()
        scale = torch.minimum(value, FALL_SHARE * (objective.baseline[active] - value)).clamp(
            min=torch.finfo(point.dtype).eps * value
        )
        last_seen, seen = seen, (slope / promised).nan_to_num(FASTEST)
        rate = torch.maximum(seen, last_seen).clamp(FASTEST, SLOWEST)
        near = -slope / 2 * rate <= gap * scale * (1 - rate)
        done = near
        if tolerance is not None:
            asked = tolerance[active]
            near = near & asked.isnan()
            done = torch.where(asked.isnan(), near, gradient.flatten(1).norm(dim=1) <= asked)
        lost = stuck | ~(slope < 0)  # a slope that is no number leads nowhere
        done = done | lost
        leaving = done | (iteration == max_iter)
        if leaving.any():
            out = active[leaving]
            step_on = near & ~lost
            points[out] = (point + _spread(step_on.to(point.dtype)) * direction.nan_to_num(0))[leaving]
            values[out] = (value + torch.where(step_on, slope / 2, 0))[leaving]
            iterations[out], converged[out] = iteration, done[leaving]
            if on_converged is not None:
                on_converged(len(out))
            kept = ~leaving
            if not kept.any():
                break
            active, point, value, gradient = active[kept], point[kept], value[kept], gradient[kept]
            direction, slope, seen = direction[kept], slope[kept], seen[kept]
            pairs.take(kept)
        step, value, changed, stuck = _search(objective, active, point, value, gradient, direction, slope)
        pairs.add(step, changed - gradient)
        promised = slope
        point, gradient = point + step, changed
    return Descent(points, values, iterations, converged)


def _search(
    objective: Objective,
    active: torch.Tensor,
    point: torch.Tensor,
    value: torch.Tensor,
    gradient: torch.Tensor,
    direction: torch.Tensor,
    slope: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Halve the steps that do not decrease enough, for those problems alone; return step, value, gradient, which stay put."""
    length = torch.ones_like(slope)
    waiting = torch.arange(len(active), device=active.device)
    new_value, new_gradient, stuck = value.clone(), gradient.clone(), torch.zeros_like(slope, dtype=torch.bool)
    noise = 4 * torch.finfo(point.dtype).eps
    while len(waiting):
        reach = length[waiting]
        found = objective(active[waiting], point[waiting] + _spread(reach.to(point.dtype)) * direction[waiting])
        before, fall = value[waiting], slope[waiting] * reach
        enough = found.value <= before + SUFFICIENT_DECREASE * fall + noise * before.abs()
        new_value[waiting[enough]], new_gradient[waiting[enough]] = found.value[enough], found.gradient[enough]
        waiting, reach, before, fall = waiting[~enough], reach[~enough], before[~enough], fall[~enough]
        rise = (found.value[~enough] - before - fall).nan_to_num(nan=torch.inf, posinf=torch.inf)
        length[waiting] = reach * (-fall / (2 * rise)).clamp(0.1, 0.5)
        hopeless = ~(length[waiting] >= SMALLEST_STEP)
        length[waiting[hopeless]], stuck[waiting[hopeless]] = 0, True
        waiting = waiting[~hopeless]
    return _spread(length.to(point.dtype)) * direction, new_value, new_gradient, stuck


def _solve_model(objective: Objective, curvature: Curvature, problems: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    return objective.project(curvature.solve(problems, gradients))


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Inner products of the problems `[b]`."""
    return torch.linalg.vecdot(a.flatten(1), b.flatten(1))


def _spread(scalars: torch.Tensor) -> torch.Tensor:
    return scalars[:, None, None]
