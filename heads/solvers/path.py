"""The way along the penalties: from strong ones, where the minimum is near, to weak ones that start from what was found."""

from dataclasses import dataclass

import torch

from heads.solvers.curvature import FEWEST, Curvature, StrongSamples, invert_strong
from heads.solvers.descent import Evaluation, minimise
from heads.solvers.side_by_side import SideBySide
from heads.solvers.stack import Stack

ROUGH_GAP, CLOSE_GAP = 1e-2, 1e-3
"""Of the problems at the path's beginning, which start from nothing, and of those that follow."""
SPAN = 10
"""The largest ratio of penalties that are solved side by side."""
REACH = 0.5
"""How far a start goes along the path's last direction: solutions move less and less as the penalty becomes weak."""
MOVED = 4
"""Iterations after which the curvature at the start says too little about the solution."""
HARD = 6
"""Models are small until a stage's slowest problem takes more iterations than that, and then as large as they may be."""


@dataclass(frozen=True)
class Part:
    """Some problems of a stack, numbered anew."""

    stack: Stack | SideBySide
    numbers: torch.Tensor

    @property
    def baseline(self) -> torch.Tensor:
        """The baselines of these problems."""
        return self.stack.baseline[self.numbers]

    def project(self, points: torch.Tensor) -> torch.Tensor:
        """See `Stack.project`."""
        return self.stack.project(points)

    def __call__(self, problems: torch.Tensor, points: torch.Tensor) -> Evaluation:
        """See `Stack`."""
        return self.stack(self.numbers[problems], points)


@dataclass(frozen=True)
class PartCurvature:
    """The curvature of some problems of a stack, numbered anew."""

    whole: Curvature
    numbers: torch.Tensor

    def solve(self, problems: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """See `Curvature`."""
        return self.whole.solve(self.numbers[problems], gradients)


def follow_path(stack: Stack | SideBySide, gap: float, max_iter: int, strong: int) -> tuple[torch.Tensor, StrongSamples]:
    """Come close to the minimum of every problem, those of all weights and targets side by side, penalty after penalty.

    Parameters
    ----------
    stack
        The problems.
    gap
        As near as is asked for in the end; here hardly any problem needs it.
    max_iter
        Most iterations a problem.
    strong
        Samples whose curvature a model holds exactly at most.

    Returns
    -------
    points, curvature
        `[b, c, r + 1]`, and models of the Hessians about there.
    """
    points, penalty = stack.start(), (1 / (stack.C * stack.total)).tolist()
    blank: list[torch.Tensor] = [torch.empty(0)] * len(stack)
    model = StrongSamples(list(blank), list(blank), torch.arange(len(stack), device=points.device))

    def look(numbers: list[int], size: int) -> None:
        for number in numbers:
            built = invert_strong(*stack.curvatures(number, points[number]), penalty[number], size)
            model.inverse[number], model.factor[number] = built

    size = min(strong, FEWEST)
    for place, stage in enumerate(_stages(stack.C, torch.stack([stack.weight_of, stack.target_of], dim=1))):
        numbers = [number for chunk, _ in stage for number in chunk]
        at = torch.tensor(numbers, device=points.device)
        if place:
            for chunk, before in stage:
                points[chunk] = _extrapolate(points, stack.C, chunk, before)
            look(numbers, size)
        curvature: Curvature = PartCurvature(model if place else stack.coupled(), at)
        found = minimise(Part(stack, at), points[at], curvature, max(gap, CLOSE_GAP if place else ROUGH_GAP), max_iter=max_iter)
        points[at] = found.points
        size = strong if int(found.iterations.max()) > HARD else size
        took = found.iterations.tolist()
        look([number for number, count in zip(numbers, took, strict=True) if count > MOVED or not place], size)
    return points, model


def _stages(C: torch.Tensor, kind_of: torch.Tensor) -> list[list[tuple[list[int], list[int]]]]:
    """Return by stage, for each kind of problem that goes so far, the stage's problems and those of the one before."""
    chunks: dict[tuple[int, ...], list[list[int]]] = {}
    for number in C.argsort().tolist():
        found = chunks.setdefault(tuple(kind_of[number].tolist()), [])
        if found and C[number] <= SPAN * C[found[-1][0]]:
            found[-1].append(number)
        else:
            found.append([number])
    paths = [list(zip(found, [[], *found[:-1]], strict=True)) for found in chunks.values()]
    return [[path[place] for path in paths if place < len(path)] for place in range(max(map(len, paths)))]


def _extrapolate(points: torch.Tensor, C: torch.Tensor, chunk: list[int], before: list[int]) -> torch.Tensor:
    """Return starting points of problems, from the first and the last solution of the stage before: linear in `log C`."""
    first, last = before[0], before[-1]
    away = (C[chunk] / C[last]).log() * REACH
    share = away / (C[last] / C[first]).log() if C[last] > C[first] else torch.zeros_like(away)
    return points[last] + share.to(points.dtype)[:, None, None] * (points[last] - points[first])
