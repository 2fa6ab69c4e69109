"""Batched logistic regression with an L2 penalty: penalties x folds x class weights x seeds in one solve.

scikit-learn's objective: `C` times the sum of the samples' weighted losses, plus half the squared norm of the weights,
intercepts free. All heads of the stack share the features, so that a pass is a few large matrix products with their weights
side by side (`products`, `stack`), which leave out the samples that a fold holds out. Where the time goes:

- The folds of a trial are a *group*: they start from the solution of its *centre*, the problem on their data together, and
  share a model of the curvature there (`curvature.StrongSamples`). One pass evaluates them all at their centre.
- The centres follow the penalties from strong to weak (`path`). The strongest start from the best intercepts, where their
  Hessian is known without a pass (`curvature.Coupled`).
- The features' principal axes (`rotation`) make what the model leaves out nearly diagonal.
- Solved problems leave the stack, with a last step whose outcome nobody needs to see (`descent`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from heads.solvers.curvature import MOST, count_strong
from heads.solvers.descent import Descent, minimise
from heads.solvers.losses import Loss
from heads.solvers.path import follow_path
from heads.solvers.rotation import RotatedFeatures
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


def solve_logistic(
    features: RotatedFeatures,
    loss: Loss,
    problems: Problems,
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
    gap
        A problem is solved when its objective is within about this share of the minimum; `needed_gap` by default.
    tolerance
        `[b]`; where it is not NaN, the norm of the mean loss's gradient at which the problem is solved instead.
    max_iter
        Most iterations a problem.
    on_solved
        Told how many problems have just been solved.
    """
    gap = needed_gap(len(features.values)) if gap is None else gap
    asked = np.full(len(problems), np.nan) if tolerance is None else tolerance
    order = order_samples(problems.weights)
    at = torch.as_tensor(order, device=features.values.device)
    values, loss, problems = features.values[at], loss.take(at), replace(problems, weights=problems.weights[:, order])
    points = torch.empty(len(problems), loss.columns, values.shape[1], dtype=values.dtype, device=values.device)
    objective, iterations = np.zeros(len(problems)), np.zeros(len(problems), int)
    converged = np.zeros(len(problems), bool)
    for numbers in _parts(values, loss, problems):
        found, scale = _solve_part(values, loss, problems.take(numbers), gap, asked[numbers], max_iter, on_solved)
        points[torch.as_tensor(numbers, device=points.device)] = found.points
        objective[numbers] = (found.value * scale).cpu().numpy()
        iterations[numbers], converged[numbers] = found.iterations.cpu().numpy(), found.converged.cpu().numpy()
    return Solution(points, objective, iterations, converged)


def _solve_part(
    values: torch.Tensor,
    loss: Loss,
    problems: Problems,
    gap: float,
    tolerance: np.ndarray,
    max_iter: int,
    on_solved: Callable[[int], None] | None,
) -> tuple[Descent, torch.Tensor]:
    """Solve problems that fit into memory; return also what brings their values to scikit-learn's scale."""
    members, group_of = Stack(values, loss, problems), torch.as_tensor(problems.group_of, device=values.device)
    strong = count_strong(len(values) * len(members) / (int(group_of.max()) + 1))
    centres, curvature = follow_path(Stack(values, loss, problems.centres()), gap, max_iter, strong)
    asked = torch.as_tensor(tolerance, dtype=values.dtype, device=values.device)
    known = members.at_centres(centres, group_of)
    found = minimise(members, centres[group_of], curvature.share(group_of), gap, asked, max_iter, on_solved, known)
    return found, members.total * members.C


def _parts(values: torch.Tensor, loss: Loss, problems: Problems) -> Iterator[np.ndarray]:
    """Give the numbers of as many problems at a time as memory allows, groups whole."""
    weights = COPIES * loss.columns * values.shape[1] * values.element_size()
    model = loss.columns * MOST * values.shape[1] * values.element_size()
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
