"""Stacks on features of their own, as the folds of standardised features are, solved as one."""

from collections.abc import Sequence

import torch

from heads.solvers.curvature import Coupled
from heads.solvers.descent import Evaluation
from heads.solvers.stack import Stack


class SideBySide:
    """Several stacks as one, with what `Stack` tells: many small operations become few.

    Parameters
    ----------
    stacks
        Of the same number of logits a head, on features of the same width.
    """

    def __init__(self, stacks: Sequence[Stack]) -> None:
        self.stacks, self.project = stacks, stacks[0].project
        self._stack_of = torch.cat([torch.full_like(stack.weight_of, number) for number, stack in enumerate(stacks)])
        self._place = torch.cat([torch.arange(len(stack), device=stack.C.device) for stack in stacks])
        self.C, self.total, self.baseline, self.target_of = (
            torch.cat([getattr(stack, name) for stack in stacks]) for name in ("C", "total", "baseline", "target_of")
        )
        kinds = [len(stack.weights) for stack in stacks]
        self.weight_of = torch.cat([stack.weight_of + sum(kinds[:number]) for number, stack in enumerate(stacks)])

    def __len__(self) -> int:
        return len(self.C)

    def start(self) -> torch.Tensor:
        """See `Stack.start`."""
        return torch.cat([stack.start() for stack in self.stacks])

    def __call__(self, problems: torch.Tensor, points: torch.Tensor) -> Evaluation:
        """See `Stack`."""
        found = Evaluation(torch.empty(len(points), dtype=torch.float64, device=points.device), torch.empty_like(points))
        which, place = self._stack_of[problems], self._place[problems]
        for number, stack in enumerate(self.stacks):
            own = (which == number).nonzero()[:, 0]
            if len(own):
                found.value[own], found.gradient[own] = stack(place[own], points[own])
        return found

    def at_centres(self, points: torch.Tensor, group_of: torch.Tensor) -> Evaluation:
        """See `Stack.at_centres`; the problems of a group are of one stack."""
        parts = []
        for number, stack in enumerate(self.stacks):
            groups, own = group_of[self._stack_of == number].unique(return_inverse=True)
            parts.append(stack.at_centres(points[groups], own))
        return Evaluation(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def coupled(self) -> Coupled:
        """See `Stack.coupled`."""
        parts = [stack.coupled() for stack in self.stacks]
        return Coupled(*(torch.cat([getattr(part, name) for part in parts]) for name in ("own", "shared", "power", "penalty")))

    def curvatures(self, number: int, point: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See `Stack.curvatures`."""
        return self.stacks[int(self._stack_of[number])].curvatures(int(self._place[number]), point)
