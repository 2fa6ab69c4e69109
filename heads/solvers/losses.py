"""Losses of a stack of linear heads on a block of samples: values, residuals and curvatures for every head at once."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch

TINY = 1e-30
"""The smallest probability whose logarithm is taken; float32 ends soon below."""


class BlockLoss(NamedTuple):
    """A block's weighted losses `[b]`, and their derivatives by every logit `[b, c, k]`."""

    value: torch.Tensor
    residual: torch.Tensor


class Loss(Protocol):
    """What the solver asks of a loss."""

    @property
    def columns(self) -> int:
        """Logits of one head."""
        ...

    def __call__(self, logits: torch.Tensor, rows: slice, weight: torch.Tensor, target: torch.Tensor) -> BlockLoss:
        """Judge logits `[b, c, k]` of `k` samples (`rows`), with weights `[b, k]`; `target` `[b]` is what each head learns."""
        ...

    def curvature(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the second derivative by every logit of one head `[c, k]`, of samples of weight one."""
        ...

    def project(self, points: torch.Tensor) -> torch.Tensor:
        """Drop from weights `[b, c, r]` what changes no loss."""
        ...

    def without_features(self, weights: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the smallest mean losses `[b]` (float64) that intercepts alone can reach, with sample weights `[b, n]`."""
        ...


@dataclass(frozen=True)
class SoftmaxLoss:
    """Multinomial cross-entropy against class codes `[n]`; every head of the stack learns the same."""

    codes: torch.Tensor
    columns: int

    def __call__(self, logits: torch.Tensor, rows: slice, weight: torch.Tensor, target: torch.Tensor) -> BlockLoss:
        """Judge a block."""
        heads, _, count = logits.shape
        where = self.codes[rows].expand(heads, 1, count)
        probability = torch.softmax(logits, dim=1)
        found = probability.gather(1, where)[:, 0]
        lost = -found.clamp(min=TINY).log()
        if (found < TINY).any():  # such a probability still has a loss: about the distance to the largest logit
            lost = torch.where(found < TINY, logits.amax(dim=1) - logits.gather(1, where)[:, 0], lost)
        value = (lost * weight).sum(dim=1, dtype=torch.float64)
        probability.scatter_(1, where, (found - 1)[:, None])
        return BlockLoss(value, probability.mul_(weight[:, None]))

    def curvature(self, logits: torch.Tensor) -> torch.Tensor:
        """Return `p (1 - p)` of each class: the diagonal of the Hessian by a sample's logits."""
        probability = torch.softmax(logits, dim=0)
        return probability - probability.square()

    def project(self, points: torch.Tensor) -> torch.Tensor:
        """Drop what all classes have in common: it changes no probability, and under a penalty no minimum has any."""
        return points - points.mean(dim=1, keepdim=True)

    def without_features(self, weights: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the entropies of the classes' weighted shares."""
        counts = torch.zeros(len(weights), self.columns, dtype=torch.float64, device=weights.device)
        counts.index_add_(1, self.codes, weights.double())
        return torch.special.entr(counts / counts.sum(dim=1, keepdim=True)).sum(dim=1)


@dataclass(frozen=True)
class BinaryLoss:
    """Logistic loss against rows of 0 and 1 `[t, n]`: one logit a head, positive for 1."""

    targets: torch.Tensor
    columns: int = 1

    def __call__(self, logits: torch.Tensor, rows: slice, weight: torch.Tensor, target: torch.Tensor) -> BlockLoss:
        """Judge a block."""
        truth = self.targets[:, rows][target]
        logit = logits[:, 0]
        lost = torch.nn.functional.softplus(logit) - truth * logit
        probability = torch.sigmoid(logit)
        value = (lost * weight).sum(dim=1, dtype=torch.float64)
        return BlockLoss(value, ((probability - truth) * weight)[:, None])

    def curvature(self, logits: torch.Tensor) -> torch.Tensor:
        """Return `p (1 - p)`."""
        probability = torch.sigmoid(logits)
        return probability - probability.square()

    def project(self, points: torch.Tensor) -> torch.Tensor:
        """Drop nothing: all weights count."""
        return points

    def without_features(self, weights: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the entropies of the targets' weighted shares of ones."""
        ones = torch.linalg.vecdot(weights.double(), self.targets[target].double()) / weights.sum(dim=1, dtype=torch.float64)
        return torch.special.entr(ones) + torch.special.entr(1 - ones)
