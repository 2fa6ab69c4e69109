"""Losses of a stack of linear heads on a block of samples: values, residuals and curvatures for every head at once."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch

RARE = 1e-6
"""The smallest share of a class that an intercept is made of."""


class BlockLoss(NamedTuple):
    """A block's weighted losses `[b]`, and their derivatives by every logit `[b, c, k]`."""

    value: torch.Tensor
    residual: torch.Tensor


class Untold(NamedTuple):
    """The best that one head's intercepts can do alone (float64).

    Attributes
    ----------
    value
        Mean loss.
    intercepts
        `[c]`.
    own, shared
        `[c]` each: the second derivatives of the mean loss by the logits there are a diagonal less an outer product,
        `diag(own) - outer(shared, shared)`.
    """

    value: torch.Tensor
    intercepts: torch.Tensor
    own: torch.Tensor
    shared: torch.Tensor


class Loss(Protocol):
    """What the solver asks of a loss."""

    @property
    def columns(self) -> int:
        """Logits of one head."""
        ...

    def __call__(self, logits: torch.Tensor, rows: slice, weight: torch.Tensor, target: torch.Tensor) -> BlockLoss:
        """Judge logits `[b, c, k]` of `k` samples (`rows`), with weights `[k]` or `[b, k]`; `target` `[b]` is what each learns.

        The logits are used up.
        """
        ...

    def take(self, samples: torch.Tensor) -> "Loss":
        """Return the same for some samples, or in another order."""
        ...

    def curvature(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the second derivative by every logit of one head `[c, k]`, of samples of weight one."""
        ...

    def project(self, points: torch.Tensor) -> torch.Tensor:
        """Drop from weights `[b, c, r]` what changes no loss."""
        ...

    def without_features(self, weight: torch.Tensor, target: torch.Tensor) -> Untold:
        """Return what intercepts alone can reach for one head, with sample weights `[n]`."""
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
        shifted = logits.sub_(logits.amax(dim=1, keepdim=True))
        true = shifted.gather(1, where)[:, 0]
        grown = shifted.exp_()
        total = grown.sum(dim=1)
        value = ((total.log() - true) * weight).sum(dim=1, dtype=torch.float64)
        residual = grown.mul_((weight / total)[:, None])
        return BlockLoss(value, residual.scatter_add_(1, where, -weight.view(-1, 1, count).expand(heads, 1, count)))

    def take(self, samples: torch.Tensor) -> "SoftmaxLoss":
        """Return the same for some samples."""
        return SoftmaxLoss(self.codes[samples], self.columns)

    def curvature(self, logits: torch.Tensor) -> torch.Tensor:
        """Return `p (1 - p)` of each class: the diagonal of the Hessian by a sample's logits."""
        probability = torch.softmax(logits, dim=0)
        return probability - probability.square()

    def project(self, points: torch.Tensor) -> torch.Tensor:
        """Drop what all classes have in common: it changes no probability, and under a penalty no minimum has any."""
        return points - points.mean(dim=1, keepdim=True)

    def without_features(self, weight: torch.Tensor, target: torch.Tensor) -> Untold:
        """Return the logarithms of the classes' weighted shares."""
        counts = torch.zeros(self.columns, dtype=torch.float64, device=weight.device).index_add_(0, self.codes, weight.double())
        share = counts / counts.sum()
        some = share.clamp(min=RARE)  # of a class without weight, too: a loss without any curvature has no step to take
        return Untold(torch.special.entr(share).sum(), some.log(), some, some / some.sum().sqrt())


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

    def take(self, samples: torch.Tensor) -> "BinaryLoss":
        """Return the same for some samples."""
        return BinaryLoss(self.targets[:, samples])

    def curvature(self, logits: torch.Tensor) -> torch.Tensor:
        """Return `p (1 - p)`."""
        probability = torch.sigmoid(logits)
        return probability - probability.square()

    def project(self, points: torch.Tensor) -> torch.Tensor:
        """Drop nothing: all weights count."""
        return points

    def without_features(self, weight: torch.Tensor, target: torch.Tensor) -> Untold:
        """Return the log-odds of the weighted share of ones."""
        share = (weight.double() @ self.targets[target].double()) / weight.sum(dtype=torch.float64)
        entropy = torch.special.entr(share) + torch.special.entr(1 - share)
        some = share.clamp(RARE, 1 - RARE)
        own = (some - some.square())[None]
        return Untold(entropy, torch.logit(some)[None], own, torch.zeros_like(own))
