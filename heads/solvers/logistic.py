"""Batched logistic regression with an L2 penalty: penalties x folds x class weights x seeds in one solve.

scikit-learn's objective: `C` times the sum of the samples' weighted losses, plus half the squared norm of the weights,
intercepts free. All heads of the stack share the features, so that a pass is a few large matrix products with their weights
side by side (`products`, `stack`); while many are at work, these leave out the samples that a fold holds out. Where the
time goes:

- The folds of a trial are a *group*: they start from the solution of its *centre*, the problem on their data together, and
  share a model of the curvature there (`curvature.StrongSamples`). One pass evaluates them all at their centre.
- The centres follow the penalties from strong to weak (`path`). The strongest start from the best intercepts, where their
  Hessian is known without a pass (`curvature.Coupled`).
- The features' principal axes (`rotation`) make what the model leaves out nearly diagonal.
- Solved problems leave the stack, with a last step whose outcome nobody needs to see (`descent`).
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from heads.solvers.curvature import MOST, count_strong
from heads.solvers.descent import minimise
from heads.solvers.losses import Loss
from heads.solvers.path import follow_path
from heads.solvers.rotation import RotatedFeatures
from heads.solvers.side_by_side import SideBySide
from heads.solvers.stack import Problems, Stack, order_samples

GAP = 5e-5
"""Distance to the minimum, relative to the objective, at which a problem of many samples counts as solved."""
MANY = 5000
FINEST_GAP = 1e-8
MEMORY_LIMIT = 2 * 2**30
"""Bytes that the stack's weights, their history and the curvature may take; larger stacks are solved in parts."""
COPIES = 32
"""Tensors of the weights' size that a descent holds at once: its pairs, and what stands around them."""


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


@dataclass(frozen=True)
class Task:
    """Problems with what they learn from.

    Attributes
    ----------
    features, loss
        What to learn from, and what.
    problems
        Under which penalties and weights.
    """

    features: RotatedFeatures
    loss: Loss
    problems: Problems

    def ordered(self) -> "Task":
        """Return the same with the samples that folds leave out together."""
        order = order_samples(self.problems.weights)
        at = torch.as_tensor(order, device=self.features.values.device)
        features = replace(self.features, values=self.features.values[at])
        return Task(features, self.loss.take(at), replace(self.problems, weights=self.problems.weights[:, order]))

    def take(self, numbers: np.ndarray) -> "Task":
        """Return some of the problems."""
        return replace(self, problems=self.problems.take(numbers))

    def stack(self) -> Stack:
        """Return the problems' objectives."""
        return Stack(self.features.values, self.loss, self.problems)

    def centres(self) -> Stack:
        """Return the objectives of the groups' centres."""
        return Stack(self.features.values, self.loss, self.problems.centres())


def solve_logistic(
    features: RotatedFeatures,
    loss: Loss,
    problems: Problems,
    *,
    gap: float | None = None,
    tolerance: np.ndarray | None = None,
    max_iter: int = 1000,
) -> Solution:
    """Solve a stack of problems.

    Parameters
    ----------
    features, loss, problems
        What to learn from, what, and under which penalties and weights.
    gap
        A problem is solved when its objective is within about this share of the minimum; `needed_gap` by default.
    tolerance
        `[b]`; where it is not NaN, the norm of the mean loss's gradient at which the problem is solved instead.
    max_iter
        Most iterations a problem.
    """
    gap = needed_gap(len(features.values)) if gap is None else gap
    asked = np.full(len(problems), np.nan) if tolerance is None else tolerance
    task, values = Task(features, loss, problems).ordered(), features.values
    points = torch.empty(len(problems), loss.columns, values.shape[1], dtype=values.dtype, device=values.device)
    objective, iterations = np.zeros(len(problems)), np.zeros(len(problems), int)
    converged = np.zeros(len(problems), bool)
    for numbers in _parts(values, loss, problems):
        [found] = _solve_part([task.take(numbers)], gap, asked[numbers], max_iter)
        points[torch.as_tensor(numbers, device=points.device)] = found.rotated
        objective[numbers], iterations[numbers], converged[numbers] = found.objective, found.iterations, found.converged
    return Solution(points, objective, iterations, converged)


def solve_side_by_side(tasks: Sequence[Task], tolerance: np.ndarray, max_iter: int) -> list[Solution]:
    """Solve problems on features of their own together, so that small ones cost few operations.

    Parameters
    ----------
    tasks
        Of the same number of logits a head.
    tolerance, max_iter
        As `solve_logistic` takes them, for the problems of all tasks one after the other.
    """
    edges = np.cumsum([0, *(len(task.problems) for task in tasks)])
    if sum(_needed(task) for task in tasks) > MEMORY_LIMIT:
        return [
            solve_logistic(task.features, task.loss, task.problems, tolerance=tolerance[start:stop], max_iter=max_iter)
            for task, (start, stop) in zip(tasks, pairwise(edges), strict=True)
        ]
    gap = needed_gap(min(len(task.features.values) for task in tasks))
    width = max(task.features.values.shape[1] for task in tasks)
    finest = torch.float64 if any(task.features.values.dtype == torch.float64 for task in tasks) else torch.float32
    wide = [replace(task, features=task.features.padded(width, finest)).ordered() for task in tasks]
    found = _solve_part(wide, gap, tolerance, max_iter)
    return [
        replace(solution, rotated=task.features.without_padding(solution.rotated))
        for task, solution in zip(tasks, found, strict=True)
    ]


def warn_unconverged(converged: np.ndarray, limit: int) -> None:
    """Warn of problems `[b]` whose iterations ran out."""
    if not converged.all():
        warnings.warn(f"{(~converged).sum()} fits did not converge in {limit} iterations", ConvergenceWarning, stacklevel=3)


def _solve_part(tasks: Sequence[Task], gap: float, tolerance: np.ndarray, max_iter: int) -> list[Solution]:
    """Solve problems that fit into memory, with the samples in order."""
    values = tasks[0].features.values
    stacks, centres = [task.stack() for task in tasks], [task.centres() for task in tasks]
    first = np.cumsum([0, *map(len, centres)])
    groups = np.concatenate([task.problems.group_of + start for task, start in zip(tasks, first[:-1], strict=True)])
    group_of = torch.as_tensor(groups, device=values.device)
    members = stacks[0] if len(tasks) == 1 else SideBySide(stacks)
    strong = count_strong(len(values) * len(members) / int(first[-1]), values.shape[1])
    points, curvature = follow_path(centres[0] if len(tasks) == 1 else SideBySide(centres), gap, max_iter, strong)
    asked = torch.as_tensor(tolerance, dtype=values.dtype, device=values.device)
    known = members.at_centres(points, group_of)
    found = minimise(members, points[group_of], curvature.share(group_of), gap, asked, max_iter, known)
    objective = (found.value * members.total * members.C).cpu().numpy()
    iterations, converged = found.iterations.cpu().numpy(), found.converged.cpu().numpy()
    edges = np.cumsum([0, *map(len, stacks)])
    return [
        Solution(found.points[start:stop], objective[start:stop], iterations[start:stop], converged[start:stop])
        for start, stop in pairwise(edges)
    ]


def _sizes(values: torch.Tensor, loss: Loss) -> tuple[int, int]:
    """Return the bytes of a problem's weights and their history, and of a group's model."""
    row = loss.columns * values.shape[1] * values.element_size()
    return COPIES * row, MOST * row


def _needed(task: Task) -> int:
    weights, model = _sizes(task.features.values, task.loss)
    return len(task.problems) * weights + (int(task.problems.group_of.max()) + 1) * model


def _parts(values: torch.Tensor, loss: Loss, problems: Problems) -> Iterator[np.ndarray]:
    """Give the numbers of as many problems at a time as memory allows, groups whole."""
    weights, model = _sizes(values, loss)
    part: list[np.ndarray] = []
    taken = 0
    for group in range(problems.group_of.max() + 1):
        members = np.flatnonzero(problems.group_of == group)
        needed = len(members) * weights + model
        if part and taken + needed > MEMORY_LIMIT:
            yield np.concatenate(part)
            part, taken = [], 0
        part.append(members)
        taken += needed
    yield np.concatenate(part)
