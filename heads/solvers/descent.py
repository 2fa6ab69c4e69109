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


class _Pairs:
    """The last steps of the problems in the stack, the changes of gradient that they brought, and the directions these suggest.

    L-BFGS in its compact form (Byrd, Nocedal and Schnabel 1994): a few products where the two-loop recursion takes many small
    operations. The model of the Hessian is solved for once a step, since a change's solution is the difference of two
    gradients' solutions.
    """

    def __init__(self) -> None:
        self._pending: tuple[torch.Tensor, torch.Tensor] | None = None
        self._solved = torch.empty(0)  # the model's inverse times the last gradients [b, d]
        self._order: list[int] = []  # places of the pairs, from the oldest to the newest
        self._steps = self._solutions = torch.empty(0)  # [b, pairs, d]; solutions: the model's inverse times the changes
        self._bends = self._reaches = torch.empty(0)  # [b, pairs, pairs]: steps times changes, solutions times changes

    def add(self, step: torch.Tensor, change: torch.Tensor) -> None:
        """Remember a step and the change of gradient that it brought, both `[b, c, r]`."""
        self._pending = step.flatten(1), change.flatten(1)

    def take(self, kept: torch.Tensor) -> None:
        """Forget the problems that are not kept `[b]`."""
        self._solved = self._solved[kept]
        if self._order:
            self._steps, self._solutions = self._steps[kept], self._solutions[kept]
            self._bends, self._reaches = self._bends[kept], self._reaches[kept]

    def direction(self, gradient: torch.Tensor, solve: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Return the directions `[b, c, r]` at gradients, with a model of the Hessian to `solve` for as the first guess."""
        flat, solved = gradient.flatten(1), solve(gradient).flatten(1)
        if self._pending is not None:
            self._learn(*self._pending, solved - self._solved)
            self._pending = None
        self._solved = solved
        if not self._order:
            return -solved.view_as(gradient)
        order = torch.tensor(self._order, device=flat.device)
        reaches = self._reaches[:, order][:, :, order]
        bends = self._bends[:, order][:, :, order].triu()
        own = bends.diagonal(dim1=1, dim2=2)
        # where the model is too flat or too stiff, the last step has told by how much
        scale = (own[:, -1:] / reaches[:, -1, -1:]).nan_to_num(1).clamp(FLATTEST, STIFFEST)
        upper = bends + torch.diag_embed((own == 0).to(bends.dtype))
        along, across = _products(self._steps, flat)[:, order], _products(self._solutions, flat)[:, order]
        first = torch.linalg.solve_triangular(upper, along[..., None], upper=True)[..., 0]
        rest = own * first + scale * ((reaches @ first[..., None])[..., 0] - across)
        second = torch.linalg.solve_triangular(upper.transpose(1, 2), rest[..., None], upper=False)[..., 0]
        places = order.argsort()
        towards = scale.to(flat.dtype) * solved
        towards += torch.bmm(second[:, None, places].to(flat.dtype), self._steps)[:, 0]
        towards -= torch.bmm((scale * first)[:, None, places].to(flat.dtype), self._solutions)[:, 0]
        leads = _dot(towards, flat) > 0  # rounding can make a direction that leads up; the model alone leads down
        return -torch.where(leads[:, None], towards, solved).view_as(gradient)

    def _learn(self, step: torch.Tensor, change: torch.Tensor, solution: torch.Tensor) -> None:
        """Keep a pair in the place of the oldest one, or in a new one; one without curvature says nothing, and is zero."""
        bent = (_dot(step, change) > 0)[:, None]
        step, change, solution = (torch.where(bent, part, 0) for part in (step, change, solution))
        if len(self._order) < MEMORY:
            place = len(self._order)
            self._steps = _grown(self._steps, step[:, None], place)
            self._solutions = _grown(self._solutions, solution[:, None], place)
            self._bends, self._reaches = (
                torch.nn.functional.pad(part, (0, 1, 0, 1)) if place else step.new_zeros(len(step), 1, 1, dtype=torch.float64)
                for part in (self._bends, self._reaches)
            )
        else:
            place = self._order.pop(0)
            self._steps[:, place], self._solutions[:, place] = step, solution
        self._order.append(place)
        self._bends[:, :, place] = _products(self._steps, change)
        self._reaches[:, :, place] = self._reaches[:, place] = _products(self._solutions, change)


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
    pairs, stuck = _Pairs(), torch.zeros(count, dtype=torch.bool, device=start.device)
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


def _products(pairs: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Inner products `[b, k]` of `[b, k, d]` with `[b, d]`, in float64 from here on."""
    return torch.bmm(vectors[:, None], pairs.transpose(1, 2))[:, 0].double()


def _grown(pairs: torch.Tensor, more: torch.Tensor, count: int) -> torch.Tensor:
    return torch.cat([pairs, more], dim=1) if count else more.clone()


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Inner products of the problems `[b]`."""
    return torch.linalg.vecdot(a.flatten(1), b.flatten(1))


def _spread(scalars: torch.Tensor) -> torch.Tensor:
    return scalars[:, None, None]
