"""Losses by sample: cross-entropy for one label, for several, squared and robust errors for values; and mixup."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

ERRORS: dict[str, Callable[..., torch.Tensor]] = {
    "squared": functional.mse_loss,
    "absolute": functional.l1_loss,
    "huber": functional.huber_loss,
}


@dataclass(frozen=True)
class CrossEntropy:
    """Of one label a sample.

    Attributes
    ----------
    smoothing
        Share of the target that is spread over all classes (Szegedy et al. 2016).
    focal
        Exponent by which samples that are already right count less (Lin et al. 2017); 0 for none.
    """

    smoothing: float = 0.0
    focal: float = 0.0

    def __call__(self, logits: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Return losses `[b]` of logits `[b, c]` and codes `[b]`."""
        losses = functional.cross_entropy(logits, codes, reduction="none", label_smoothing=self.smoothing)
        if self.focal:
            right = logits.softmax(1).gather(1, codes[:, None])[:, 0]
            losses = losses * (1 - right) ** self.focal
        return losses

    def plain(self) -> "CrossEntropy":
        """Return the loss by which validation is judged: without smoothing and focus."""
        return CrossEntropy()


@dataclass(frozen=True)
class LabelCrossEntropy:
    """Of any number of labels a sample: each label's own binary cross-entropy, averaged over the labels.

    Attributes
    ----------
    positive_weight
        What a label's positives weigh `[c]`, or None.
    smoothing, focal
        As in `CrossEntropy`.
    """

    positive_weight: torch.Tensor | None = None
    smoothing: float = 0.0
    focal: float = 0.0

    def __call__(self, logits: torch.Tensor, indicator: torch.Tensor) -> torch.Tensor:
        """Return losses `[b]` of logits `[b, c]` and an indicator `[b, c]` in the logits' type."""
        positive_weight = None if self.positive_weight is None else self.positive_weight.to(logits)
        targets = indicator * (1 - self.smoothing) + 0.5 * self.smoothing
        losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none", pos_weight=positive_weight)
        if self.focal:
            chance = logits.sigmoid()
            losses = losses * (indicator * (1 - chance) + (1 - indicator) * chance) ** self.focal
        return losses.mean(dim=1)

    def plain(self) -> "LabelCrossEntropy":
        """Return the loss by which validation is judged: without smoothing and focus."""
        return LabelCrossEntropy(self.positive_weight)


@dataclass(frozen=True)
class Deviation:
    """Of values: `squared`, `absolute` or `huber` errors, averaged over what is predicted.

    Attributes
    ----------
    kind
        One of `ERRORS`.
    """

    kind: str = "squared"

    def __call__(self, values: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        """Return losses `[b]` of predicted and true values `[b, m]`."""
        return ERRORS[self.kind](values, true, reduction="none").mean(dim=1)

    def plain(self) -> "Deviation":
        """Return the loss by which validation is judged: the same."""
        return self


class Loss(Protocol):
    """What training makes small: a loss a sample `[b]` of outputs `[b, c]` and targets."""

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor, /) -> torch.Tensor:
        """Return losses `[b]`."""
        ...

    def plain(self) -> "Loss":
        """Return the loss by which validation is judged."""
        ...


def mixed(features: torch.Tensor, alpha: float, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Mix every sample of a batch with another one (mixup; Zhang et al. 2018), on features.

    Returns
    -------
    features, partner, share
        The mixed features, which sample was mixed in `[b]`, and the share of the sample itself, drawn from Beta(alpha, alpha).
    """
    shape = torch.tensor([alpha, alpha], dtype=torch.float64)
    drawn = torch._standard_gamma(shape, generator=generator)
    share = float(drawn[0] / drawn.sum()) if drawn.sum() > 0 else 1.0
    partner = torch.randperm(len(features), generator=generator).to(features.device)
    return share * features + (1 - share) * features[partner], partner, share
