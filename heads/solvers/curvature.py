"""Models of the Hessian that precondition a descent: about weights of zero, or by the samples that bend most."""

from dataclasses import dataclass, replace
from typing import Protocol

import torch

FEWEST, MOST = 64, 192
"""Samples whose curvature counts exactly; at most as many as half of the axes, in which a diagonal is the quicker model."""
WORTH = 3
"""Their number's square, over the samples of all problems that share a model: more cost more than the steps they save."""
FLATTEST = 1e-5
"""The least curvature along an axis, relative to the largest: what float32 can tell apart."""


class Curvature(Protocol):
    """A model of the Hessians of a stack of problems."""

    def solve(self, problems: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Return the model's inverse times gradients `[b, c, r]` of some problems (their numbers `[b]`)."""
        ...


@dataclass(frozen=True)
class Coupled:
    """The Hessian where every sample has the same probabilities: exact about weights of zero, in principal axes.

    It is how the logits bend each other, times how far the features reach along an axis, plus the penalty: along every axis a
    diagonal less an outer product, whose inverse is known (Sherman and Morrison 1950).

    Attributes
    ----------
    own, shared
        `[b, c]` each, float64: the logits' second derivatives are `diag(own) - outer(shared, shared)`.
    power
        `[b, r]`, mean squares of the features along their axes.
    penalty
        `[b]`, float64, on every coordinate but the last.
    """

    own: torch.Tensor
    shared: torch.Tensor
    power: torch.Tensor
    penalty: torch.Tensor

    def solve(self, problems: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Divide by the diagonals, and add what the outer products took."""
        own, shared, power = self.own[problems, :, None], self.shared[problems, :, None], self.power[problems, None].double()
        floor = torch.finfo(gradients.dtype).eps * own.amax(dim=1)
        least = self.penalty[problems, None].expand(-1, power.shape[2]).clone()
        least[:, -1] = 0
        inverse = 1 / (own * power + torch.maximum(least, floor)[:, None])
        reach = shared * inverse
        share = power / (1 - power * (shared * reach).sum(dim=1, keepdim=True)).clamp(min=torch.finfo(torch.float64).eps)
        taken = (reach.to(gradients.dtype) * gradients).sum(dim=1, keepdim=True)
        return gradients * inverse.to(gradients.dtype) + (reach * share).to(gradients.dtype) * taken


@dataclass(frozen=True)
class StrongSamples:
    """The samples that bend a logit most, exactly, and a diagonal for all others: for each logit of each group of problems.

    The inverse is a diagonal less a product of low rank (Woodbury 1950).

    Attributes
    ----------
    inverse
        By group, `[c, r]`: of the diagonals.
    factor
        By group, `[c, m, r]`: its transpose times itself is what the strong samples take from the inverse diagonal.
    group_of
        `[b]`, each problem's group.
    """

    inverse: list[torch.Tensor]
    factor: list[torch.Tensor]
    group_of: torch.Tensor

    def share(self, group_of: torch.Tensor) -> "StrongSamples":
        """Return the same models for other problems, whose groups `[b]` are given."""
        return replace(self, group_of=group_of)

    def solve(self, problems: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Multiply by the inverses, group by group."""
        found = torch.empty_like(gradients)
        groups = self.group_of[problems]
        for group in groups.unique().tolist():
            members = (groups == group).nonzero()[:, 0]
            given, factor = gradients[members], self.factor[group]
            taken = torch.bmm(torch.bmm(given.transpose(0, 1), factor.transpose(1, 2)), factor)
            found[members] = given * self.inverse[group] - taken.transpose(0, 1)
        return found


def count_strong(samples: float, width: int) -> int:
    """Return how many samples of some width a model holds exactly, given how many all problems that share it have together."""
    return int(min(max((WORTH * samples) ** 0.5, FEWEST), MOST, max(width // 2, 1)))


def invert_strong(
    values: torch.Tensor, squares: torch.Tensor, curvature: torch.Tensor, penalty: float, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Build one group's model from its curvature at a point.

    All samples but the strong ones are taken to bend alike, which in principal axes is a diagonal.

    Parameters
    ----------
    values
        `[n, r]`, in principal axes with the intercept's ones last.
    squares
        `[r]`, the sums of their squares.
    curvature
        `[c, n]`, second derivatives of the mean loss by the logits.
    penalty
        On every coordinate but the last.
    count
        How many samples are strong.

    Returns
    -------
    inverse, factor
        `[c, r]` and `[c, m, r]`, as `StrongSamples` has them.
    """
    strong = curvature.topk(min(count, len(values)), dim=1)
    rest = (curvature.sum(dim=1) - strong.values.sum(dim=1)).clamp(min=0) / max(len(values) - strong.values.shape[1], 1)
    diagonal = rest[:, None] * squares
    diagonal[:, :-1] += penalty
    rows = values[strong.indices] * (strong.values - rest[:, None]).clamp(min=0).sqrt()[..., None]
    largest = (diagonal + rows.square().sum(dim=1)).amax(dim=1, keepdim=True)
    diagonal = torch.maximum(diagonal, FLATTEST * largest)
    scale = diagonal.rsqrt()
    rows *= scale[:, None]
    gram = torch.bmm(rows, rows.transpose(1, 2))
    gram.diagonal(dim1=1, dim2=2).add_(1)
    lower = torch.linalg.cholesky_ex(gram).L.contiguous()
    rows = rows.transpose(1, 2).contiguous().transpose(1, 2)  # column after column, as the solver wants them
    return 1 / diagonal, torch.linalg.solve_triangular(lower, rows, upper=False).mul_(scale[:, None])
