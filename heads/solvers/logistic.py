"""Batched logistic regression with an L2 penalty: penalties x folds x class weights x seeds in one solve.

scikit-learn's objective: `C` times the sum of the samples' weighted losses, plus half the squared norm of the weights,
intercepts free. All heads of the stack share the features: a pass is one matrix product with all their weights side by
side, and what a head must not see (the samples of its validation fold) has weight zero. Where the time goes:

- In the features' principal axes (`rotation`) the Hessian is nearly diagonal, so its exact diagonal is a good
  preconditioner for free.
- Problems start where similar ones ended, with the curvature there: the folds of a penalty from its solution on all
  samples. Where there is no such start, the stack is first solved roughly, which serves as one.
- Solved problems leave the stack (`descent`).
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from heads.solvers.descent import Descent, Evaluation, minimise
from heads.solvers.losses import Loss
from heads.solvers.rotation import RotatedFeatures

GAP = 3e-5
"""Distance to the minimum, relative to the objective, at which a problem of many samples counts as solved."""
MANY = 5000
FINEST_GAP = 1e-8
ROUGH_GAP = 1e-2
BLOCK = 2**21
"""Logits in work at a time: what a cache holds."""
MEMORY_LIMIT = 2 * 2**30
"""Bytes that the stack's weights and their history may take; larger stacks are solved in parts."""
COPIES = 24
"""Tensors of the weights' size that a descent holds at once: its pairs, and what stands around them."""


@dataclass(frozen=True)
class Problems:
    """A stack of problems on the same features.

    Attributes
    ----------
    C
        `[b]`, inverse strengths of the penalty.
    weights
        `[w, n]`, sample weights; zero for what is not trained on.
    weight_of
        `[b]`, the row of `weights` that a problem uses.
    target_of
        `[b]`, the row of 0 and 1 that a problem learns, for `BinaryLoss`; zeros for `SoftmaxLoss`.
    """

    C: np.ndarray
    weights: np.ndarray
    weight_of: np.ndarray
    target_of: np.ndarray

    def __len__(self) -> int:
        return len(self.C)


@dataclass(frozen=True)
class Solution:
    """Solved problems.

    Attributes
    ----------
    rotated
        `[b, c, r + 1]`, in the axes of the features' rotation.
    objective
        `[b]`, in scikit-learn's scale.
    iterations
        `[b]`.
    converged
        `[b]`; False where `max_iter` came first.
    """

    rotated: torch.Tensor
    objective: np.ndarray
    iterations: np.ndarray
    converged: np.ndarray


def needed_gap(samples: int) -> float:
    """Return the gap at which hardly a sample is predicted otherwise than at the minimum.

    A gap moves logits by its square root, and so many of the samples near a border between classes with them: fewer samples
    need a smaller one for the same number of changed predictions, and can afford it.
    """
    return max(FINEST_GAP, GAP * min(1.0, samples / MANY) ** 2)


def solve_logistic(
    features: RotatedFeatures,
    loss: Loss,
    problems: Problems,
    start: torch.Tensor | None = None,
    *,
    gap: float | None = None,
    tolerance: np.ndarray | None = None,
    max_iter: int = 1000,
    on_solved: Callable[[int], None] | None = None,
) -> Solution:
    """Solve a stack of problems.

    Parameters
    ----------
    features, loss, problems
        What to learn from, what, and under which penalties and weights.
    start
        `[b, c, r + 1]`, solutions of similar problems.
    gap
        A problem is solved when its objective is within about this share of the minimum; `needed_gap` by default.
    tolerance
        `[b]`; where it is not NaN, the norm of the mean loss's gradient at which the problem is solved instead.
    max_iter
        Most iterations a problem.
    on_solved
        Told how many problems have just been solved.
    """
    values = features.values
    gap = needed_gap(len(values)) if gap is None else gap
    stack = _Stack(values, loss, problems)
    shape = (len(problems), loss.columns, values.shape[1])
    if start is None:
        rough = _in_parts(
            stack, torch.zeros(shape, dtype=values.dtype, device=values.device), max(gap, ROUGH_GAP), None, max_iter
        )
        start = rough.points
    asked = None if tolerance is None else torch.as_tensor(tolerance, dtype=values.dtype, device=values.device)
    found = _in_parts(stack, start, gap, asked, max_iter, on_solved)
    objective = (found.value * stack.total * stack.C).cpu().numpy()
    return Solution(found.points, objective, found.iterations.cpu().numpy(), found.converged.cpu().numpy())


class _Stack:
    """The problems' objectives, divided by `C` and by their weights' sum, as scikit-learn divides them.

    The baseline is what intercepts alone reach. Under a strong penalty the objective hardly falls below it, yet all that the
    head says lies in that fall, so that the distance to the minimum is measured by both.
    """

    def __init__(self, values: torch.Tensor, loss: Loss, problems: Problems) -> None:
        def tensor(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
            return torch.as_tensor(array, dtype=dtype, device=values.device)

        self.values, self.loss, self.project = values, loss, loss.project
        self.C = tensor(problems.C, torch.float64)
        self.weights = tensor(problems.weights, values.dtype)
        self.weight_of, self.target_of = tensor(problems.weight_of, torch.int64), tensor(problems.target_of, torch.int64)
        self.total = self.weights.sum(dim=1, dtype=torch.float64)[self.weight_of]
        kinds, kind_of = torch.unique(torch.stack([self.weight_of, self.target_of]), dim=1, return_inverse=True)
        reached = [loss.without_features(self.weights[weight][None], target[None]) for weight, target in kinds.T]
        self.baseline = torch.cat(reached)[kind_of]

    def part(self, numbers: torch.Tensor) -> "_Stack":
        """Return the stack of some of the problems."""
        part = copy.copy(self)
        for name in ("C", "weight_of", "target_of", "total", "baseline"):
            setattr(part, name, getattr(self, name)[numbers])
        return part

    def __call__(self, problems: torch.Tensor, points: torch.Tensor, diagonal: bool = False) -> Evaluation:
        """Evaluate some problems at points `[b, c, r + 1]`, block of samples by block."""
        heads, columns, width = points.shape
        flat = points.reshape(heads * columns, width)
        value = torch.zeros(heads, dtype=torch.float64, device=points.device)
        gradient = torch.zeros_like(flat)
        bend = torch.zeros_like(flat) if diagonal else None
        weight_of, target_of = self.weight_of[problems], self.target_of[problems]
        size = min(max(BLOCK // (heads * columns) // 64 * 64, 256), 8192)
        for begin in range(0, len(self.values), size):
            rows = slice(begin, begin + size)
            block = self.values[rows]
            logits = (flat @ block.T).view(heads, columns, len(block))
            found = self.loss(logits, rows, self.weights[:, rows][weight_of], target_of, diagonal)
            value += found.value
            gradient.addmm_(found.residual.reshape(heads * columns, -1), block)
            if bend is not None and found.curvature is not None:
                bend.addmm_(found.curvature.reshape(heads * columns, -1), block * block)
        return self._penalised(problems, points, value, gradient.view_as(points), bend)

    def _penalised(
        self,
        problems: torch.Tensor,
        points: torch.Tensor,
        value: torch.Tensor,
        gradient: torch.Tensor,
        bend: torch.Tensor | None,
    ) -> Evaluation:
        total = self.total[problems]
        penalty = 1 / (self.C[problems] * total)
        share, pull = ((1 / total).to(points.dtype)[:, None, None], penalty.to(points.dtype)[:, None, None])
        weights = points[..., :-1]
        value = value / total + penalty / 2 * weights.flatten(1).norm(dim=1).double() ** 2
        gradient *= share
        gradient[..., :-1] += pull * weights
        if bend is None:
            return Evaluation(value, gradient, None)
        diagonal = bend.view_as(points) * share
        diagonal[..., :-1] += pull
        return Evaluation(value, gradient, diagonal.clamp_(min=1e-12))


def _in_parts(
    stack: _Stack,
    start: torch.Tensor,
    gap: float,
    tolerance: torch.Tensor | None,
    max_iter: int,
    on_solved: Callable[[int], None] | None = None,
) -> Descent:
    """Minimise as many problems at a time as memory allows."""
    size = max(1, MEMORY_LIMIT // (COPIES * start[0].numel() * start.element_size()))
    parts = []
    for numbers in torch.arange(len(start), device=start.device).split(size):
        asked = None if tolerance is None else tolerance[numbers]
        parts.append(minimise(stack.part(numbers), start[numbers], gap, asked, max_iter, on_solved))
    return Descent(
        *(torch.cat([getattr(part, name) for part in parts]) for name in ("points", "value", "iterations", "converged"))
    )
