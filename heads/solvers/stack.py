"""The objectives of a stack of linear heads, evaluated for all of them in one pass over the features."""

from dataclasses import dataclass

import numpy as np
import torch

from heads.solvers.curvature import Blocks, Diagonal, block_size, invert_blocks
from heads.solvers.descent import Evaluation
from heads.solvers.losses import Loss

BLOCK = 2**21
"""Logits in work at a time: what a cache holds."""


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
    group_of
        `[b]`, numbers from 0: problems of a group have one penalty and target and similar weights, as a trial's folds have.
    """

    C: np.ndarray
    weights: np.ndarray
    weight_of: np.ndarray
    target_of: np.ndarray
    group_of: np.ndarray

    def __len__(self) -> int:
        return len(self.C)

    def take(self, numbers: np.ndarray) -> "Problems":
        """Return some problems, their groups numbered anew."""
        groups = np.unique(self.group_of[numbers], return_inverse=True)[1]
        return Problems(self.C[numbers], self.weights, self.weight_of[numbers], self.target_of[numbers], groups)

    def centres(self) -> "Problems":
        """Return a problem for each group: its members' weights, averaged."""
        first = np.unique(self.group_of, return_index=True)[1]
        weights = np.stack([self.weights[self.weight_of[self.group_of == group]].mean(axis=0) for group in range(len(first))])
        groups = np.arange(len(first))
        return Problems(self.C[first], weights, groups, self.target_of[first], groups)


class Stack:
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

    def __len__(self) -> int:
        return len(self.C)

    def origin(self) -> torch.Tensor:
        """Return weights of zero for all problems `[b, c, r + 1]`."""
        shape = (len(self), self.loss.columns, self.values.shape[1])
        return torch.zeros(shape, dtype=self.values.dtype, device=self.values.device)

    def __call__(self, problems: torch.Tensor, points: torch.Tensor) -> Evaluation:
        """Evaluate some problems at points `[b, c, r + 1]`, block of samples by block."""
        heads, columns, width = points.shape
        flat = points.reshape(heads * columns, width)
        value = torch.zeros(heads, dtype=torch.float64, device=points.device)
        gradient = torch.zeros_like(flat)
        weight_of, target_of = self.weight_of[problems], self.target_of[problems]
        size = min(max(BLOCK // (heads * columns) // 64 * 64, 256), 8192)
        for begin in range(0, len(self.values), size):
            rows = slice(begin, begin + size)
            block = self.values[rows]
            logits = (flat @ block.T).view(heads, columns, len(block))
            found = self.loss(logits, rows, self.weights[:, rows][weight_of], target_of)
            value += found.value
            gradient.addmm_(found.residual.reshape(heads * columns, -1), block)
        total = self.total[problems]
        penalty = 1 / (self.C[problems] * total)
        gradient = gradient.view_as(points).mul_((1 / total).to(points.dtype)[:, None, None])
        weights = points[..., :-1]
        gradient[..., :-1] += penalty.to(points.dtype)[:, None, None] * weights
        return Evaluation(value / total + penalty / 2 * weights.flatten(1).norm(dim=1).double() ** 2, gradient)

    def diagonal(self, points: torch.Tensor) -> Diagonal:
        """Return the Hessians' diagonals at points `[b, c, r + 1]`."""
        squares = self.values.square()
        bend = torch.stack([self._bend(number, point) @ squares for number, point in enumerate(points)])
        bend[..., :-1] += (1 / (self.C * self.total)).to(points.dtype)[:, None, None]
        return Diagonal(bend.clamp_(min=torch.finfo(points.dtype).tiny))

    def blocks(self, points: torch.Tensor) -> Blocks:
        """Return dense models of the Hessians at points `[b, c, r + 1]`."""
        penalty = (1 / (self.C * self.total)).tolist()
        built = [invert_blocks(self.values, self._bend(number, point), penalty[number]) for number, point in enumerate(points)]
        inverse, diagonal = (torch.stack(part) for part in zip(*built, strict=True))
        return Blocks(inverse, diagonal, torch.arange(len(self), device=points.device))

    def block_bytes(self) -> int:
        """Return the memory that the blocks of one group take."""
        return self.loss.columns * block_size(self.values) ** 2 * self.values.element_size()

    def _bend(self, number: int, point: torch.Tensor) -> torch.Tensor:
        """Return the second derivatives `[c, n]` of one problem's mean loss by its logits."""
        weight = self.weights[self.weight_of[number]]
        logits = point @ self.values.T
        return self.loss.curvature(logits) * (weight / self.total[number].to(weight.dtype))
