"""Models of the Hessian that precondition a descent: of untold samples, or dense blocks that similar problems share."""

from dataclasses import dataclass, replace
from typing import Protocol

import torch

WIDTH = 128
"""Leading principal axes that a dense block covers; beyond them the diagonal is enough."""


class Curvature(Protocol):
    """A model of the Hessians of a stack of problems."""

    def solve(self, problems: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Return the model's inverse times gradients `[b, c, r]` of some problems (their numbers `[b]`)."""
        ...


@dataclass(frozen=True)
class Coupled:
    """The Hessian where every sample has the same probabilities: exact about weights of zero, in principal axes.

    It is how the logits bend each other, times how far the features reach along an axis, plus the penalty.

    Attributes
    ----------
    basis, bend
        `[b, c, c]` and `[b, c]`: eigenvectors (columns) and eigenvalues of the logits' second derivatives.
    power
        `[b, r]`, mean squares of the features along their axes.
    penalty
        `[b]`, on every coordinate but the last.
    """

    basis: torch.Tensor
    bend: torch.Tensor
    power: torch.Tensor
    penalty: torch.Tensor

    def solve(self, problems: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Divide by the eigenvalues, among the eigenvectors."""
        basis, bend = self.basis[problems], self.bend[problems]
        scale = bend[..., None] * self.power[problems, None]
        scale[..., :-1] += self.penalty[problems, None, None]
        floor = torch.finfo(scale.dtype).eps * bend.amax(dim=1)
        return basis @ ((basis.transpose(1, 2) @ gradients) / torch.maximum(scale, floor[:, None, None]))


@dataclass(frozen=True)
class Blocks:
    """A dense block for each logit of each group of problems, over the last `s` coordinates, and a diagonal before them.

    Attributes
    ----------
    inverse
        `[g, c, s, s]`, the blocks' inverses.
    diagonal
        `[g, c, r - s]`.
    group_of
        `[b]`, each problem's group.
    """

    inverse: torch.Tensor
    diagonal: torch.Tensor
    group_of: torch.Tensor

    def share(self, group_of: torch.Tensor) -> "Blocks":
        """Return the same blocks for other problems, whose groups `[b]` are given."""
        return replace(self, group_of=group_of)

    def solve(self, problems: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """Divide by the diagonals and multiply by the blocks' inverses, group by group."""
        found = torch.empty_like(gradients)
        groups, size = self.group_of[problems], self.inverse.shape[-1]
        for group in groups.unique().tolist():
            members = (groups == group).nonzero()[:, 0]
            given = gradients[members]
            dense = torch.bmm(given[..., -size:].transpose(0, 1), self.inverse[group]).transpose(0, 1)
            found[members] = torch.cat([given[..., :-size] / self.diagonal[group], dense], dim=-1)
        return found


def block_size(values: torch.Tensor) -> int:
    """Return the coordinates that blocks over features `[n, r]` cover."""
    return min(values.shape[1], WIDTH + 1)


def invert_blocks(values: torch.Tensor, curvature: torch.Tensor, penalty: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Build one group's blocks from its curvature at a point.

    The samples that bend most, as many as the block is wide, count exactly; all others are taken to bend alike, which in
    principal axes is a diagonal.

    Parameters
    ----------
    values
        `[n, r]`, in principal axes with the intercept's ones last.
    curvature
        `[c, n]`, second derivatives of the mean loss by the logits.
    penalty
        On every coordinate but the last.

    Returns
    -------
    inverse, diagonal
        `[c, s, s]`, and `[c, r - s]`.
    """
    size = block_size(values)
    strong = curvature.topk(min(size, len(values)), dim=1)
    rest = (curvature.sum(dim=1) - strong.values.sum(dim=1)).clamp(min=0) / max(len(values) - strong.values.shape[1], 1)
    power = values.square().sum(dim=0)
    pull = torch.full_like(power, penalty)
    pull[-1] = torch.finfo(values.dtype).eps * float(curvature.sum(dim=1).max())
    diagonal = rest[:, None] * power + pull
    rows = values[strong.indices, -size:]
    dense = torch.bmm((rows * (strong.values - rest[:, None])[..., None]).transpose(1, 2), rows)
    dense.diagonal(dim1=1, dim2=2).add_(diagonal[:, -size:])
    factor, failed = torch.linalg.cholesky_ex(dense)
    if failed.any():
        lift = dense.diagonal(dim1=1, dim2=2).amax(dim=1) * 1e-4
        dense.diagonal(dim1=1, dim2=2).add_(lift[:, None])
        factor = torch.linalg.cholesky_ex(dense).L
    before = diagonal[:, :-size] + (
        values[:, :-size].square()[strong.indices] * (strong.values - rest[:, None])[..., None]
    ).sum(1)
    return torch.cholesky_inverse(factor), before.clamp(min=penalty)
